"""Boards: from counted votes to a solved board, and from that to what people see."""
