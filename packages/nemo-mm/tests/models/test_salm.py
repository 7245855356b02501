"""Models that hear: what they make of audio, how they are trained in stages, kept and asked."""
