"""The server: connections to it, what its errors mean, what is tried again, and the SQL in which servers differ."""
