"""Backbones, attention blocks and losses: one published idea a file."""
