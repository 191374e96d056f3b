"""The score: collapse averted, its standard errors and its tiers, from a table of losses."""
