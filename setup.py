"""The one step of a build that ``pyproject.toml`` cannot say: the wheel carries its bytecode (docs/decisions/0010)."""

import compileall
from py_compile import PycInvalidationMode

from setuptools import setup
from setuptools.command.build_py import build_py


class WithBytecode(build_py):
    """Compiles the copies in the build folder, never the sources' own folder: there Python keeps it up to date."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        mode = PycInvalidationMode.UNCHECKED_HASH  # PEP 552: believed without a look at the source
        if not compileall.compile_dir(
            self.build_lib, quiet=1, force=True, stripdir=self.build_lib, invalidation_mode=mode
        ):
            raise SystemExit("a module does not compile")


setup(cmdclass={"build_py": WithBytecode})
