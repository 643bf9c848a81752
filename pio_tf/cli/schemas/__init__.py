"""What ``--json`` writes, for each command. docs/json.md is made of this.

The text beside a type says what the value is. Within a version, nothing goes away and no value changes its meaning;
there may be more.
"""
