"""Offline tools for a store's directory: check, repair, accept an edit. Nothing in `storage` knows of them.

`check` verifies everything and changes nothing. `salvage` plans a repair, `repair` carries it out. `external_edit` and
`put_back` find out what was changed in the snapshot or put in its place, `acceptance` makes that a commit. `untyped`
reads stores without models, `models` checks them against a Database class. The command `snaptable` stands on this
package and on public names only.
"""
