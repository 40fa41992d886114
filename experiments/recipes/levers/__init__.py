"""Levers: what else buys data efficiency once weight decay is tuned and members are many?"""
