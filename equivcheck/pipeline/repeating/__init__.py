"""The script of a bundle, in parts that `bundle_script` puts together as one file.

No part imports equivcheck but where an engine is one of its own.
"""
