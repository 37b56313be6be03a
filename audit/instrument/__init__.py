"""Instruments: one short file a framework. Each needs its extra, and none is imported by the core."""
