"""Small pieces that several credit functions call."""
