"""Games that are Java programs inside Python packages: one Java machine in a worker process runs them all."""

import functools
import importlib.metadata
import importlib.util
import re
import resource
import shutil
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from envs.engines.engine import Engine, Scene
from harness.errors import UserError

OLDEST_JAVA = 8
INSTALL_JAVA = "install one, as with `apt install default-jre-headless` or `conda install openjdk`"
MIB = 2**20
OVERHEAD_MIB = 256
"""What a Java machine takes beside its heap (120 to 150 MiB were measured), with room to spare."""
LEAST_HEAP_MIB = 128
OPTIONS = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-XX:+UseSerialGC",  # other collectors take threads and memory for each processor
    "-XX:ActiveProcessorCount=2",
    "-XX:+ExitOnOutOfMemoryError",
)


@dataclass(frozen=True)
class JavaPackage:
    """A Python package that holds a Java program."""

    module: str
    project: str
    """Its name where packages are installed from."""
    version: str
    """The version that these environments are made and tested for."""
    jar: str

    @property
    def folder(self) -> Path:
        """Where it is installed; raises `UserError` if it isn't, or in another version."""
        found = importlib.util.find_spec(self.module)
        if found is None or found.origin is None:
            raise UserError(f"env={self.module} needs an extra: pip install 'creditbench[{self.module}]'")
        version = importlib.metadata.version(self.project)
        if version != self.version:
            raise UserError(
                f"env={self.module} is made for {self.project} {self.version}, and {version} is installed: "
                f"pip install '{self.project}=={self.version}'"
            )
        return Path(found.origin).parent

    def check(self) -> None:
        """Raise `UserError` if the package or Java is missing or of a wrong version."""
        jar = self.folder / self.jar
        if not jar.is_file():
            raise UserError(f"{jar} is missing: pip install --force-reinstall {self.project}")
        check_java(f"env={self.module}")


def check_java(who: str) -> None:
    """Raise `UserError` if there is no Java, or too old a one."""
    wish = f"{who} needs Java {OLDEST_JAVA} or newer"
    java = shutil.which("java")
    if java is None:
        raise UserError(f"{wish}, and no `java` is found: {INSTALL_JAVA}")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    said = re.search(r'version "(?:1\.)?(\d+)[^"]*"', done.stderr + done.stdout)
    if said is None:
        raise UserError(f"{wish}, and `{java} -version` tells none: {INSTALL_JAVA}")
    if int(said[1]) < OLDEST_JAVA:
        raise UserError(f"{wish}, and {java} is {said[0]}: {INSTALL_JAVA}")


def heap_mib() -> int:
    """The Java heap that fits into this process's memory limit, in MiB."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    within = 1024 if limit == resource.RLIM_INFINITY else limit // MIB
    return max(LEAST_HEAP_MIB, within - OVERHEAD_MIB)


@functools.cache
def machine(package: JavaPackage, options: tuple[str, ...]) -> Any:
    """This process's Java machine for a package, as a py4j gateway. It ends with this process: it reads from
    a pipe that breaks then. Others on this computer can't command it: they lack its token."""
    from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

    try:
        port, token, process = launch_gateway(
            classpath=str(package.folder / package.jar),
            cwd=str(package.folder),
            javaopts=[f"-Xmx{heap_mib()}m", *OPTIONS, *options],
            die_on_exit=True,
            return_proc=True,
            enable_auth=True,
        )
    except (ValueError, OSError) as error:
        raise RuntimeError("Java did not start: is env.memory_gb too low for it?") from error
    return JavaGateway(
        gateway_parameters=GatewayParameters(port=port, auth_token=token, auto_field=True),
        java_process=process,
    )


@contextmanager
def java_or_end() -> Iterator[None]:
    """End this process if its Java machine has ended; the next question starts both anew."""
    from py4j.protocol import Py4JNetworkError

    try:
        yield
    except (Py4JNetworkError, ConnectionError):
        # Said here, as the worker is killed together with what it has started before Python would say it.
        print("the Java machine has ended: if it ran out of memory, raise env.memory_gb", file=sys.stderr)
        sys.stderr.flush()
        raise SystemExit(1) from None


class JavaEngine(Engine):
    """A game in the process's Java machine."""

    package: ClassVar[JavaPackage]
    options: ClassVar[tuple[str, ...]] = ()
    """Further options of the Java machine."""

    def __init__(self, game: str) -> None:
        super().__init__(game)
        with java_or_end():
            self.java = machine(self.package, self.options).jvm
            self.load()

    def start(self) -> Scene:
        with java_or_end():
            return self.begin()

    def play(self, command: str) -> Scene:
        with java_or_end():
            return self.give(command)

    @abstractmethod
    def load(self) -> None:
        """Make the game's Java object."""

    @abstractmethod
    def begin(self) -> Scene:
        """See `Engine.start`."""

    @abstractmethod
    def give(self, command: str) -> Scene:
        """See `Engine.play`."""
