"""The demo's stream: four days in the life of twelve invented companies.

Everything in it is made up, and it is made for showing: never for training or judging a model. The
sentences are in the YAML files beside this one, the calendar of what happens in `episodes`, and
`python -m demo.stories --out FILE` writes the stream, byte for byte the same each time.
"""

from demo.stories.chronicle import Story, tell
from demo.stories.companies import COMPANIES, WATCH_LIST, Company
from demo.stories.episodes import EPISODES, Episode, Phase
from demo.stories.rhythm import END, START

__all__ = [
    "COMPANIES",
    "END",
    "EPISODES",
    "START",
    "WATCH_LIST",
    "Company",
    "Episode",
    "Phase",
    "Story",
    "tell",
]
