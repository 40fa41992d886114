"""Every recipe on stocks of text of several sizes."""
