"""The rules of remarks, by what they look at."""
