"""Arrays in, arrays out: one formula per quantity, the backend passed as ``xp``."""
