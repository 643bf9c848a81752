"""Results of the library -> rows for people and data for programs, by what they are of."""
