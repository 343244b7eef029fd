"""Wharfie in Python, by its own HTTP."""

import sys

import wharfie

image, output, store = sys.argv[1:]
with wharfie.Image.open(image, store=store) as opened:
    opened.export(output)
