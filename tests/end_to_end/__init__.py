"""Tests of the whole: the demo in a browser, and members who do anything in any order."""
