"""The operations in which low bits are decided: linears, norms and attention, in several ways.

Which way holds which identity contract is not promised here; `contract.py` measures it.
"""
