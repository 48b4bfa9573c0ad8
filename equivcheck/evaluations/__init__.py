"""Graded answers that another tool recorded of two arms: are as many right with speculation?"""
