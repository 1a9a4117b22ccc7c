"""Whether a judgement hangs on what it should not: names, sex, places, script, case, slips of the pen."""
