"""The first version of the score, kept so that published boards can be made again."""
