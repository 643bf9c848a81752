"""The result of each command: one pydantic model, the source of its table, its JSON and its documentation.

Within version 1 of the JSON no field is removed and none changes its meaning; fields may be added.
"""
