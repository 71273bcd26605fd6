"""A package for a new plugin, with tests that pass: made of ``template``, which is a plugin itself."""

from router.scaffold.names import check_name
from router.scaffold.package import make_package
from router.scaffold.sample import Sample

__all__ = ["Sample", "check_name", "make_package"]
