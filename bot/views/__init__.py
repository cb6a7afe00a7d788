"""Buttons, menus and forms."""
