# SPDX-License-Identifier: Apache-2.0
"""Runs a command in another kernel: a user-mode Linux of our own, Debian's, or Debian's in QEMU.

Our own is built of Debian's source, as no kernel of Debian's has netdevsim: the only network card
with a switch of its own that needs no hardware. Where that fails, Debian sid's user-mode Linux
does, and else Debian's own kernel in QEMU, for all tests but those that need such a card.

The fourth, ``igb``, is QEMU's with a network card that has virtual functions (SR-IOV).

Nothing is installed. The kernels are unpacked and built in ``$VIFPLUG_KERNEL_CACHE``, or
~/.cache/vifplug-tests/kernel whatever XDG_CACHE_HOME says, since tox gives each run a fresh one;
remove the folder to have newer ones. ``$VIFPLUG_KERNEL`` (built, uml or qemu) allows that one only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_INIT = Path(__file__).with_name("init.sh")
_INITRAMFS = Path(__file__).with_name("initramfs.sh")
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCE_OF = "trixie-backports"
# Large, and not compiled; what Kconfig reads stays.
_LEFT_OUT = (
    "drivers/gpu/*.[ch]", "drivers/media/*.[ch]", "sound/*.[ch]", "tools/testing/*", "*.rst",
    "*.yaml", "*.dts*", "drivers/net/ethernet/*.[ch]", "drivers/net/wireless/*.[ch]",
)  # fmt: skip
_CURRENT = {
    "linux-image-amd64": "linux-image-",
    "linux-image-cloud-amd64": "linux-image-",
    "linux-source": "linux-source-",
}
"""Debian's names for its current kernel and its source, and how those begin that they mean."""

_CONFIG = Path(__file__).with_name("uml.config")
_UML_MODULES = "usr/lib/uml/modules"
_MEMORY = "1G"
_BOOTS_WITHIN = 90.0
_FRESH = ("/dev", "/proc", "/run", "/sys", "/tmp")
_PASSED = ("HOME", "LANG", "LC_", "PATH", "PYTHON", "VIRTUAL_ENV", "XDG_CACHE_HOME")
_9P = "trans=virtio,version=9p2000.L,msize=512000"
# What is started ends with its parent, in whichever way that ends.
_BOUND = ("setpriv", "--pdeathsig", "KILL", "--")


class NoKernel(Exception):
    """No other kernel boots here; the text says what was tried and what came of it."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status, or None if it or the kernel did not end by itself."""

    folder: Path
    status: int | None
    output: str
    console: str


@dataclass(frozen=True)
class _Machine:
    """What boots: a command, and mount's arguments for the shared folder and the modules."""

    command: Sequence[str]
    shared: str
    modules: str
    slowness: int = 1


def run_inside(
    argv: Sequence[str],
    *,
    shared: Path,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    kernel: str | None = None,
) -> Ended:
    """Run a command as root in another kernel, in the same working folder; NoKernel if none boots.

    ``kernel`` is the one to take, for a test of what only that has.

    Inside, the host's files are as they are; /dev, /proc, /run, /sys and /tmp are fresh but for
    this Python and the working folder. What is written is gone afterwards, except in /run/vifplug,
    which is a folder in ``shared``: the answer's. There is no network to the host. ``timeout`` is
    of a kernel that runs at the host's speed; a slower one gets more.
    """
    cwd = cwd or Path.cwd()
    kinds: dict[str, Callable[[Path], _Machine]] = {"built": _built, "uml": _uml, "qemu": _qemu}
    chosen = os.environ.get("VIFPLUG_KERNEL")
    if chosen and chosen not in kinds:
        raise NoKernel(f"VIFPLUG_KERNEL is {chosen!r}; allowed are {', '.join(kinds)}")
    tried = []
    for name in [kernel] if kernel else [chosen] if chosen else kinds:
        folder = shared / name
        folder.mkdir()
        try:
            machine = (kinds | {"igb": _igb})[name](folder)
            _prepare(folder, machine, argv, cwd, env or {})
            console = _boot(machine, folder, timeout * machine.slowness)
        except (OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or "").strip()
            tried.append(f"{name}: {error}\n{said[-3000:]}")
            continue
        if not (folder / "started").exists():
            tried.append(f"{name}: what {_cache()} has did not boot\n{console[-3000:]}")
            continue
        status = _text(folder / "status").strip()
        output = _text(folder / "output")
        return Ended(folder, int(status) if status else None, output, console)
    raise NoKernel("no other kernel for the tests that need one:\n" + "\n".join(tried))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _prepare(
    folder: Path,
    machine: _Machine,
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
) -> None:
    """Write what the first process inside reads."""
    kept = _kept([cwd, Path(sys.prefix), Path(sys.base_prefix), *map(Path, sys.path)])
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
    exported = [f"export {n}={shlex.quote(v)}\n" for n, v in (passed | dict(env)).items()]
    shutil.copyfile(_INIT, folder / "init.sh")
    (folder / "settings").write_text(
        f"SHARED={shlex.quote(machine.shared)}\nMODULES={shlex.quote(machine.modules)}\n"
        f"KEPT={shlex.quote(chr(10).join(map(str, kept)))}\n"
    )
    (folder / "command").write_text(
        f"{''.join(exported)}cd {shlex.quote(str(cwd))} && exec {shlex.join(argv)}\n"
    )


def _kept(paths: Sequence[Path]) -> list[Path]:
    """Return those of the folders that fresh ones would hide, the outermost of each only."""
    found: list[Path] = []
    for path in sorted({path.absolute() for path in paths if path.is_dir()}):
        hidden = any(path.is_relative_to(fresh) for fresh in _FRESH)
        if hidden and not any(path.is_relative_to(outer) for outer in found):
            found.append(path)
    return found


def _boot(machine: _Machine, folder: Path, timeout: float) -> str:
    """Boot, wait until it ends or the time is over, and return what the console said."""
    console = folder / "console"
    # Kernel and processes inside take turns; a change of processor at each made it 3 times slower.
    processors = sorted(os.sched_getaffinity(0))
    processor = str(processors[os.getpid() % len(processors)])
    command = [*_BOUND, "taskset", "--cpu-list", processor, *machine.command]
    # Not the caller's TMPDIR: the memory of user-mode Linux is a file there.
    env = {"PATH": os.environ["PATH"], "HOME": "/root", "TMPDIR": "/tmp", "TERM": "dumb"}
    began = time.monotonic()
    with console.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd="/"
        )
        try:
            while process.poll() is None:
                time.sleep(0.02)
                passed = time.monotonic() - began
                booted = (folder / "started").exists()
                if passed > timeout or (passed > _BOOTS_WITHIN and not booted):
                    log.write(f"\nended after {passed:.0f} s\n".encode())
                    break
        finally:
            process.kill()
            process.wait()
    return _text(console)


# The cache.


def _cache() -> Path:
    default = Path.home() / ".cache/vifplug-tests/kernel"
    return Path(os.environ.get("VIFPLUG_KERNEL_CACHE") or default).absolute()


@contextlib.contextmanager
def _cached(name: str, fill: Callable[[Path], None]) -> Iterator[Path]:
    """Give the folder of a name, filled before if it was not there.

    It gets its name once it is full, and one process fills at a time, so a fill that was cut off
    leaves only what the next one removes.
    """
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    full, part = cache / name, cache / f"{name}.part"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not full.exists():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                fill(part)
                part.rename(full)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    yield full


def _said(
    *command: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str = "",
    timeout: float = 600,
) -> str:
    done = subprocess.run(
        [*_BOUND, *command], check=True, capture_output=True, text=True, timeout=timeout,
        env=None if env is None else os.environ | env, cwd=cwd, input=input,
    )  # fmt: skip
    return done.stdout


def _mirror() -> str:
    """Return where this machine has its own Debian packages from."""
    asked = ("--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages")
    lines = _said("apt-get", "indextargets", *asked).splitlines()
    # The label is known only where the lists were fetched.
    for line in [*(line for line in lines if line.startswith("Debian ")), *lines]:
        if "security" not in line:
            return line.rsplit(" ", 1)[1]
    raise LookupError("apt-get indextargets names no Debian mirror")


def _unpack(suite: str, into: Path, *names: str) -> None:
    """Unpack packages of a Debian suite; each name may be a package that only depends on it.

    apt gets lists and sources of our own: the machine's stay as they are.
    """
    apt = into / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYS}] {_mirror()} {suite} main\n")
    (apt / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "-";\n'
        f'Dir::State::lists "{apt}/lists";\nDir::Cache "{apt}/cache";\n'
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
    )
    env = {"APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C"}
    _said("apt-get", "-q", "update", "--error-on=any", env=env)
    for name in names:
        if name in _CURRENT:
            depends = _said("apt-cache", "depends", name, env=env).split()
            start = _CURRENT[name]
            name = next(word for word in depends if word.startswith(start) and word != name)
        _said("apt-get", "-q", "download", name, env=env, cwd=apt)
    for package in apt.glob("*.deb"):
        _said("dpkg", "-x", str(package), str(into))
    shutil.rmtree(apt)


# User-mode Linux: ours, or Debian sid's, since older ones don't run on today's processors.


def _built(folder: Path) -> _Machine:
    # Another configuration is another kernel.
    key = hashlib.sha256(_CONFIG.read_bytes()).hexdigest()[:8]
    with _cached(f"built-{key}", _build) as root:
        return _user_mode(folder, root)


def _uml(folder: Path) -> _Machine:
    with _cached("uml", _fill_uml) as root:
        return _user_mode(folder, root)


def _user_mode(folder: Path, root: Path) -> _Machine:
    (modules,) = (root / _UML_MODULES).iterdir()
    # It needs a newer libc than the host's, so it has a root of its own, with the host's inside.
    # That is read-only but for the shared folder. As no first process it may die as it likes.
    script = """
        set -e
        mount --rbind / "$0/host"
        mount -o remount,bind,ro "$0/host"
        mount -t tmpfs memory "$0/host/run"
        mkdir "$0/host/run/vifplug"
        mount --bind "$1" "$0/host/run/vifplug"
        mount -t proc proc "$0/proc"
        mount --bind /dev "$0/dev"
        mount -t tmpfs memory "$0/tmp"
        shift
        chroot "$0" "$@"
    """
    arguments = [
        "/usr/bin/linux.uml", "rootfstype=hostfs", "rootflags=/host", "ro", "TERM=dumb",
        f"mem={_MEMORY}", "seccomp=on", "uml_dir=/tmp/", "quiet", "loglevel=4",
        "con=null", "con0=null,fd:2", "init=/bin/sh", "--", "/run/vifplug/init.sh",
    ]  # fmt: skip
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    return _Machine(
        [*spaces, "--", "sh", "-c", script, str(root), str(folder), *arguments],
        shared="-t hostfs -o /host/run/vifplug none",
        modules=f"-t hostfs -o /{_UML_MODULES}/{modules.name} none",
    )


def _fill_uml(root: Path) -> None:
    _unpack("sid", root, "user-mode-linux", "libc6", "libgcc-s1")
    _make_folders(root)
    for name in ("lib", "lib64"):  # base-files', which is not unpacked
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")


def _make_folders(root: Path) -> None:
    for name in ("host", "proc", "dev", "tmp"):
        (root / name).mkdir(exist_ok=True)


def _build(root: Path) -> None:
    """Build a kernel with what _CONFIG lists, all built in and linked statically."""
    source = root / "source"
    source.mkdir()
    _unpack(_SOURCE_OF, source, "linux-source")
    (archive,) = (source / "usr/src").glob("linux-source-*.tar.*")
    left_out = [f"--exclude=*/{pattern}" for pattern in _LEFT_OUT]
    _said("tar", "-C", str(source), "-xf", str(archive), *left_out)
    (tree,) = (path for path in source.glob("linux-source-*") if path.is_dir())
    make = ("make", "-s", "-C", str(tree), "ARCH=um")
    _said(*make, f"KCONFIG_ALLCONFIG={_CONFIG}", "allnoconfig")
    _said(*make, f"-j{len(os.sched_getaffinity(0))}", "linux", timeout=1500)
    (root / "usr/bin").mkdir(parents=True)
    _said("strip", "-o", str(root / "usr/bin/linux.uml"), str(tree / "linux"))
    # What it has it has built in.
    (root / _UML_MODULES / "none").mkdir(parents=True)
    _make_folders(root)
    shutil.rmtree(source)


# QEMU without KVM, and the kernel of the Debian release that runs.


@dataclass(frozen=True)
class DebianKernel:
    """The kernel of the Debian release that runs, unpacked."""

    root: Path
    version: str

    @property
    def image(self) -> Path:
        return self.root / "boot" / f"vmlinuz-{self.version}"


def debian_kernel() -> DebianKernel:
    """Return Debian's kernel, which boots in QEMU."""
    with _cached("qemu", _fill_qemu) as root:
        (modules,) = (root / "lib/modules").iterdir()
    return DebianKernel(root, modules.name)


def cloud_kernel() -> DebianKernel:
    """Return Debian's kernel for guests, which has few drivers and boots twice as fast."""
    with _cached("cloud", _fill_cloud) as root:
        (modules,) = (root / "lib/modules").iterdir()
    return DebianKernel(root, modules.name)


def _qemu(folder: Path) -> _Machine:
    kernel = debian_kernel()
    modules = kernel.root / "lib/modules" / kernel.version
    initramfs = folder / "initramfs"
    make_initramfs(initramfs, kernel, _INITRAMFS, ("virtio_pci", "9p", "9pnet_virtio", "overlay"))
    command = [
        "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=512",
        "-cpu", "max,la57=off", "-smp", "1", "-m", _MEMORY, "-nodefaults", "-no-user-config",
        "-display", "none", "-serial", "stdio", "-no-reboot",
    ]  # fmt: skip
    shares = {"root": (Path("/"), ",readonly=on"), "shared": (folder, ""), "modules": (modules, "")}
    for tag, (path, more) in shares.items():
        at = str(path).replace(",", ",,")
        command += [
            "-fsdev", f"local,id={tag},path={at},security_model=none,multidevs=remap{more}",
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}",
        ]  # fmt: skip
    command += [
        "-kernel", str(kernel.image), "-initrd", str(initramfs),
        "-append", "console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off "
        "tsc=reliable no_timer_check random.trust_cpu=on apparmor=0 audit=0",
    ]  # fmt: skip
    return _Machine(
        command,
        shared="--bind /run/vifplug",
        modules=f"-t 9p -o {_9P},ro,cache=loose modules",
        slowness=5,
    )


def _release() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    return release["VERSION_CODENAME"].strip('"')


def _igb(folder: Path) -> _Machine:
    """Return the machine with QEMU's igb, an Intel 82576 with virtual functions (QEMU 8.0 on)."""
    machine = _qemu(folder)
    qemu, *options = machine.command
    command = [qemu]
    if '"igb"' not in _said(qemu, "-device", "help"):
        with _cached("qemu-igb", _fill_igb) as root:
            (modules,) = root.glob("usr/lib/*/qemu")
        places = [str(root / "usr/share" / name) for name in ("qemu", "seabios")]
        command = ["env", f"QEMU_MODULE_DIR={modules}", str(root / "usr/bin" / qemu)]
        command += [word for place in places for word in ("-L", place)]
    card = ["-device", "pcie-root-port,id=socket0,chassis=1", "-netdev", "user,id=outside",
            "-device", "igb,bus=socket0,netdev=outside,romfile="]  # fmt: skip
    return replace(machine, command=[*command, *options, *card])


def _fill_igb(root: Path) -> None:
    names = [f"qemu-system-{name}" for name in ("x86", "common", "data")]
    _unpack(f"{_release()}-backports", root, *names, "seabios")


def _fill_qemu(root: Path) -> None:
    _fill_debian(root, "linux-image-amd64")


def _fill_cloud(root: Path) -> None:
    _fill_debian(root, "linux-image-cloud-amd64")


def _fill_debian(root: Path, name: str) -> None:
    _unpack(_release(), root, name)
    (modules,) = (root / "lib/modules").iterdir()
    _said("depmod", "-b", str(root), modules.name)


def make_initramfs(to: Path, kernel: DebianKernel, init: Path, modules: Sequence[str]) -> None:
    """Write an archive with busybox, some modules in the order of their names, and a script."""
    tree = to.with_name("initramfs.tree")
    (tree / "modules").mkdir(parents=True)
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", tree / "busybox")
    shutil.copyfile(init, tree / "init")
    (tree / "init").chmod(0o755)
    files: dict[str, None] = {}
    for module in modules:
        place = ("-d", str(kernel.root), "-S", kernel.version)
        shown = _said("modprobe", *place, "--show-depends", module)
        files |= dict.fromkeys(line.split()[1] for line in shown.splitlines() if "insmod" in line)
    for number, file in enumerate(files):
        shutil.copyfile(file, tree / "modules" / f"{number:02}-{Path(file).name}")
    names = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
    _said("cpio", "-o", "-H", "newc", "--quiet", "-O", str(to), cwd=tree, input=names)
    shutil.rmtree(tree)
