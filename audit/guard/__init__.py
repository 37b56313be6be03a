"""The redactor wherever else a runtime leaks: logging, structlog, spans, access logs, and what nobody caught.

Each module stands alone, and is installed with one line. None of them raises, and none drops what it guards.
"""
