"""`snaptable serve`: a REST server for a Database class, or for a JSON file whose models are inferred.

inference     tables, keys, types, references and uniques of a file's rows
models_text   the same as Python, as one would write it
taking_over   the file's rows into a store beside it
application   the routes
"""
