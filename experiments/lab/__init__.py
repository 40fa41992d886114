"""The lab: a world, its text and its run store, through which recipes train."""
