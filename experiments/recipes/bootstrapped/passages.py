"""Passages of books in the public domain, short enough to ship, to show what is written from them.

A world's own text may not be ours to give away, so that what is written from it is not shown.
"""

from __future__ import annotations

PASSAGES = {
    "Carroll, Alice's Adventures in Wonderland (1865)": (
        "Alice was beginning to get very tired of sitting by her sister on the bank, and of having "
        "nothing to do: once or twice she had peeped into the book her sister was reading, but it "
        'had no pictures or conversations in it, "and what is the use of a book," thought Alice, '
        '"without pictures or conversations?"'
    ),
    "Dickens, A Christmas Carol (1843)": (
        "Marley was dead: to begin with. There is no doubt whatever about that. The register of "
        "his burial was signed by the clergyman, the clerk, the undertaker, and the chief mourner. "
        "Scrooge signed it: and Scrooge's name was good upon 'Change, for anything he chose to put "
        "his hand to. Old Marley was as dead as a door-nail."
    ),
    "Melville, Moby-Dick (1851)": (
        "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money "
        "in my purse, and nothing particular to interest me on shore, I thought I would sail about "
        "a little and see the watery part of the world."
    ),
}
"""Openings, by author, title and year."""
