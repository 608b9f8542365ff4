//! Which Debian packages are wanted, what for, and which of them are missing.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{ebpf, shell};

/// What a command may take from the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Compiling for this machine.
    Host,
    /// Compiling for BPF.
    Compiler,
    /// Building bpf-linker.
    Linker,
    /// Making a small network and asking something over it.
    Network,
    /// The servers and clients of the lab.
    Lab,
    /// Other proxies, and what asks all of them for very much.
    Peers,
    /// A second, older kernel.
    Guest,
    /// Attacking parsers.
    Fuzzer,
    /// Making packages.
    Packager,
    /// A whole guest, with systemd.
    Service,
}

/// Packages wanted together, for one reason.
struct Bundle {
    group: Group,
    why: &'static str,
    packages: &'static [Package],
}

/// One package, and what does as well when it comes from somewhere else.
struct Package {
    name: &'static str,
    instead: Instead,
}

enum Instead {
    Nothing,
    Command(&'static str),
    File(&'static str),
}

use Instead::{Command as Program, File, Nothing};

const BUNDLES: &[Bundle] = &[
    Bundle {
        group: Group::Host,
        why: "the C compiler and headers that Rust's linking and some crates take",
        packages: &[
            wanted("gcc", Program("cc")),
            wanted("libc6-dev", File("/usr/include/stdlib.h")),
            wanted("make", Program("make")),
            wanted("pkg-config", Program("pkg-config")),
        ],
    },
    Bundle {
        group: Group::Compiler,
        why: "Debian's second Rust toolchain, with the sources of core, to compile for BPF",
        packages: &[
            wanted("rustc-web", Nothing),
            wanted("cargo-web", Nothing),
            wanted("rust-web-src", Nothing),
        ],
    },
    Bundle {
        group: Group::Linker,
        why: "the LLVM that bpf-linker is built with",
        packages: &[
            wanted("llvm-22-dev", Nothing),
            wanted("libpolly-22-dev", Nothing),
            wanted("libzstd-dev", Nothing),
            wanted("zlib1g-dev", Nothing),
        ],
    },
    Bundle {
        group: Group::Network,
        why: "network namespaces, and a client to ask with",
        packages: &[wanted("iproute2", Program("ip")), wanted("curl", Program("curl"))],
    },
    Bundle {
        group: Group::Lab,
        why: "the lab's origin servers and resolver",
        packages: &[
            wanted("nginx-light", Program("nginx")),
            wanted("dnsmasq-base", Program("dnsmasq")),
        ],
    },
    Bundle {
        group: Group::Lab,
        why: "the lab's terminals",
        packages: &[wanted("tmux", Program("tmux"))],
    },
    Bundle {
        group: Group::Lab,
        why: "the lab's clients: programs that know nothing of dispa",
        packages: &[
            wanted("wget", Program("wget")),
            wanted("python3", Program("python3")),
            wanted("nodejs", Program("node")),
            wanted("openjdk-17-jdk-headless", Program("javac")),
        ],
    },
    Bundle {
        group: Group::Lab,
        why: "more of what speaks HTTP out there: another proxy, a browser, a slow attacker, and \
              what brings the packages of Node and Python",
        packages: &[
            wanted("haproxy", Program("haproxy")),
            wanted("chromium", Program("chromium")),
            wanted("slowhttptest", Program("slowhttptest")),
            wanted("npm", Program("npm")),
            // Debian's own interpreter makes no virtual environment without it.
            wanted("python3-venv", Nothing),
        ],
    },
    Bundle {
        group: Group::Lab,
        why: "DNS: a second resolver, its load, its most exact client, and programs without glibc",
        packages: &[
            wanted("unbound", Program("unbound")),
            wanted("dnsperf", Program("dnsperf")),
            wanted("bind9-dnsutils", Program("dig")),
            wanted("musl-tools", Program("musl-gcc")),
        ],
    },
    Bundle {
        group: Group::Lab,
        why: "a database server for the traffic log, which the lab starts itself",
        packages: &[wanted("postgresql-15", File("/usr/lib/postgresql/15/bin/postgres"))],
    },
    Bundle {
        group: Group::Lab,
        why: "losses and resets made in the lab, iptables to compare with, a look at the kernel's \
              programs, and process figures",
        packages: &[
            wanted("bpftool", Program("bpftool")),
            wanted("iptables", Program("iptables")),
            wanted("nftables", Program("nft")),
            wanted("procps", Program("ps")),
        ],
    },
    Bundle {
        group: Group::Lab,
        why: "what judges how tightly a service is confined; never started",
        packages: &[wanted("systemd", Program("systemd-analyze"))],
    },
    Bundle {
        group: Group::Lab,
        why: "what reads metrics and rings alarms: dispa's are shown to it",
        packages: &[wanted("prometheus", Program("promtool"))],
    },
    Bundle {
        group: Group::Peers,
        why: "other proxies to measure dispa against, and the programs that load them",
        packages: &[
            wanted("nginx-light", Program("nginx")),
            wanted("libnginx-mod-stream", File("/usr/lib/nginx/modules/ngx_stream_module.so")),
            wanted("haproxy", Program("haproxy")),
            wanted("wrk", Program("wrk")),
            wanted("nghttp2-client", Program("h2load")),
        ],
    },
    Bundle {
        group: Group::Guest,
        why: "an emulated machine, to try the kernel programs on Debian 12's own kernel",
        packages: &[
            wanted("qemu-system-x86", Program("qemu-system-x86_64")),
            // A dynamic busybox would not run in an initramfs.
            wanted("busybox-static", Nothing),
            wanted("cpio", Program("cpio")),
        ],
    },
    Bundle {
        group: Group::Fuzzer,
        why: "the C++ compiler that libFuzzer is built with",
        packages: &[wanted("g++", Program("c++"))],
    },
    Bundle {
        group: Group::Packager,
        why: "Debian's judge of packages, and the C compiler for static programs",
        packages: &[
            wanted("dpkg-dev", Program("dpkg-shlibdeps")),
            wanted("lintian", Program("lintian")),
            wanted("musl-tools", Program("musl-gcc")),
        ],
    },
    Bundle {
        group: Group::Service,
        why: "an emulated machine with a Debian of its own, to try the service on",
        packages: &[
            wanted("qemu-system-x86", Program("qemu-system-x86_64")),
            wanted("mmdebstrap", Program("mmdebstrap")),
            wanted("e2fsprogs", Program("mkfs.ext4")),
        ],
    },
];

const fn wanted(name: &'static str, instead: Instead) -> Package {
    Package { name, instead }
}

/// What is missing of one bundle.
pub(crate) struct Missing {
    pub(crate) packages: Vec<&'static str>,
    pub(crate) why: &'static str,
}

/// What is missing of these groups.
pub(crate) fn missing(groups: &[Group]) -> Result<Vec<Missing>> {
    let bundles: Vec<_> = BUNDLES.iter().filter(|it| groups.contains(&it.group)).collect();
    let installed = installed(&bundles)?;
    let lacks = |package: &Package| !installed.contains(package.name) && !package.is_replaced();
    let mut missing = Vec::new();
    for bundle in bundles {
        let packages: Vec<_> =
            bundle.packages.iter().filter(|it| lacks(it)).map(|it| it.name).collect();
        if !packages.is_empty() && !bundle.group.is_moot() {
            missing.push(Missing { packages, why: bundle.why });
        }
    }
    Ok(missing)
}

impl Group {
    /// Whether something else on this machine does the whole group's duty.
    fn is_moot(self) -> bool {
        match self {
            Self::Compiler => ebpf::rustup_nightly().is_some(),
            Self::Linker => ebpf::linker_installed().is_some(),
            Self::Host
            | Self::Network
            | Self::Lab
            | Self::Peers
            | Self::Guest
            | Self::Fuzzer
            | Self::Packager
            | Self::Service => false,
        }
    }
}

impl Package {
    fn is_replaced(&self) -> bool {
        match self.instead {
            Nothing => false,
            Program(command) => shell::on_path(command).is_some(),
            File(path) => Path::new(path).exists(),
        }
    }
}

/// Those of the bundles' packages that dpkg has installed; none where there is no dpkg.
fn installed(bundles: &[&Bundle]) -> Result<HashSet<String>> {
    let names = bundles.iter().flat_map(|bundle| bundle.packages).map(|package| package.name);
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(names)
        // It complains of, and fails for, names it never heard of: those are missing.
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else { return Ok(HashSet::new()) };
    let Ok(listed) = String::from_utf8(output.stdout) else {
        bail!("dpkg-query printed no UTF-8");
    };
    Ok(listed.lines().filter_map(|it| it.strip_prefix("installed ")).map(str::to_owned).collect())
}
