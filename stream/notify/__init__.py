"""Alerts on their way to people: by chat, by mail, or by a program of their own."""
