//! What the daemon opens to others by itself: nothing.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dispa_e2e::{Site, Traffic, direct};
use dispa_lab::{Dispa, Lab, Neighbour, Process, TcpServer, run, until};

const SOON: Duration = Duration::from_secs(30);

/// Local addresses at which a process listens, or receives datagrams, as `ss` shows them.
fn listeners(process: u32) -> Result<BTreeSet<String>> {
    let own = format!("pid={process},");
    let listed = direct("ss", &["-Hltunp"])?.success()?;
    let own = listed.lines().filter(|line| line.contains(&own));
    Ok(own.filter_map(|line| line.split_whitespace().nth(4)).map(str::to_owned).collect())
}

fn is_of_this_host(address: &str) -> bool {
    let Some((host, _)) = address.rsplit_once(':') else { return false };
    let (host, device) = host.split_once('%').unwrap_or((host, ""));
    let host: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    // A socket that is bound to `lo` hears nothing else.
    device == "lo" || host.is_some_and(|it| it.is_loopback())
}

/// The daemon's file without what the lab says of its own.
fn by_default(lab: &Lab, site: &Site<'_>) -> Result<PathBuf> {
    let text = format!(
        "[domains]\nintercept_domains = [\"{}\"]\n[[targets.targets]]\nname = \"one\"\n\
         url = \"http://{}\"\n[intercept]\ncgroup = \"{}\"\n[logging]\nformat = \"json\"\n",
        Site::NAME,
        Site::backend(1),
        site.cgroup.path().display()
    );
    lab.file("default.toml", &text)
}

/// Starts the daemon with this file, and with this in front of it in the shell.
fn start(site: &Site<'_>, before: &str, file: &Path) -> Result<Process> {
    let mut command = site.cgroup.command("sh");
    command.args(["-c", &format!("{before}exec \"$0\" -c \"$1\"")]);
    let process = Process::start(command.arg(Dispa::binary()?).arg(file))?;
    process.wait_for_line(SOON, |line| line.text.contains("\"ready\""))?;
    Ok(process)
}

#[test]
fn it_listens_on_this_hosts_addresses_only_unless_it_is_told_otherwise() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let file = by_default(lab, &site)?;
        let dispa = start(&site, "", &file)?;
        let open = listeners(dispa.id())?;
        println!("{open:?}");
        let ports = ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9080", "127.0.0.1:9090"];
        ensure!(ports.iter().all(|port| open.contains(*port)), "{open:?}");
        ensure!(open.iter().all(|address| is_of_this_host(address)), "{open:?}");
        drop(dispa);
        let bound =
            "DISPA__SERVER__BIND_ADDRESS=0.0.0.0:8080 DISPA__MONITORING__BIND_ADDRESS=0.0.0.0 ";
        let dispa = start(&site, bound, &file)?;
        let open = listeners(dispa.id())?;
        let far: Vec<_> = open.iter().filter(|address| !is_of_this_host(address)).collect();
        ensure!(far == ["0.0.0.0:8080", "0.0.0.0:8081", "0.0.0.0:9090"], "{far:?}");
        Ok(())
    })
}

/// Files and sockets below `directory`, with their modes.
fn modes(directory: &Path, found: &mut Vec<(PathBuf, u32)>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            modes(&path, found)?;
        } else {
            found.push((path, metadata.mode() & 0o7777));
        }
    }
    Ok(())
}

const CREATED: [(&str, u32); 6] = [
    ("app.log", 0o640),
    ("traffic.db", 0o640),
    ("traffic.db-wal", 0o640),
    ("traffic.db-shm", 0o640),
    ("token", 0o600),
    ("dispa.sock", 0o660),
];

#[test]
fn what_it_creates_is_not_for_everybody_whatever_the_mask() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let traffic = Traffic::new(lab, "traffic");
        let log = lab.directory().join("app.log");
        let keys = format!("output = \"file\"\nfile_path = \"{}\"", log.display());
        let config = Site::config_of_one().sections(&traffic.sections("both", &keys));
        let file = Dispa::write(lab, &config, site.cgroup.path())?;
        let mut command = site.cgroup.command("sh");
        command.args(["-c", "umask 0; exec \"$0\" -c \"$1\""]);
        let dispa = Process::start(command.arg(Dispa::binary()?).arg(&file))?;
        until(SOON, "an intercepted connection", || {
            site.curl(&["http://four.example.com/?secret=1"]).ok().filter(|who| who == "one")
        })?;
        let mut found = Vec::new();
        until(SOON, "all of its files", || {
            found.clear();
            modes(lab.directory(), &mut found)
                .and_then(|()| modes(Path::new("/run"), &mut found))
                .ok()?;
            let is_there = |name: &str| found.iter().any(|(path, _)| path.ends_with(name));
            CREATED.iter().all(|(name, _)| is_there(name)).then_some(())
        })?;
        let all = traffic.directory().to_owned();
        for (path, mode) in &found {
            println!("{mode:o} {}", path.display());
            let named = CREATED.iter().find(|(name, _)| path.ends_with(name));
            let wanted = named.map(|it| it.1).or(path.starts_with(&all).then_some(0o640));
            ensure!(wanted.is_none_or(|it| it == *mode), "{mode:o} {}", path.display());
        }
        drop(dispa);
        Ok(())
    })
}

/// The address and port at which the site's IPv4 or IPv6 destination arrives.
fn slot_of(dispa: &Dispa, site: &Site<'_>, family: &str) -> Result<SocketAddr> {
    let script = "import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
client = socket.create_connection((sys.argv[1], 80), timeout=9)
print(client.getsockname()[1], flush=True)
sys.stdin.read()";
    let mut command = site.cgroup.command("python3");
    let client = Process::start(command.args(["-c", script, family]))?;
    let port = client.wait_for_line(SOON, |line| line.text.parse::<u16>().is_ok())?.text;
    let own = format!("pid={},", dispa.id());
    let found = until(SOON, "the connection in ss", || {
        let listed = direct("ss", &["-Htnp"]).ok()?.success().ok()?;
        let is_it = |line: &&str| {
            let mut ends = line.split_whitespace().skip(3);
            line.contains(&own) && ends.nth(1).is_some_and(|it| it.ends_with(&format!(":{port}")))
        };
        listed.lines().find(is_it)?.split_whitespace().nth(3).map(str::to_owned)
    })?;
    found.replace("%lo", "").parse().with_context(|| found.clone())
}

#[test]
fn a_slot_cannot_be_reached_from_outside_the_host() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let neighbour = Neighbour::new()?;
        let dispa = site.dispa(&Site::config_of_one())?;
        let v4 = slot_of(&dispa, &site, &Site::V4.to_string())?;
        let v6 = slot_of(&dispa, &site, &Site::V6.to_string())?;
        // As open as a host can be made for them.
        for (key, value) in [
            ("net/ipv4/conf/all/route_localnet", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/near/rp_filter", "0"),
            ("net/ipv6/conf/all/forwarding", "1"),
        ] {
            fs::write(Path::new("/proc/sys").join(key), value).context(key)?;
        }
        direct("ip", &["addr", "add", "2001:db8:ff::1/64", "dev", "near", "nodad"])?.success()?;
        let far = "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
            ip addr add 2001:db8:ff::2/64 dev far nodad
            ip route add default via 2001:db8:ff::1
            ip route del local 127.0.0.0/8 dev lo table local
            ip route add 127.208.0.0/16 via 192.0.2.1 src 192.0.2.2";
        run(neighbour.command(&site.cgroup, "sh").args(["-ec", far]), SOON)?.success()?;
        let reach = |address: SocketAddr| {
            let script = "import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)
    print('reached')
except OSError as error:
    print(error)";
            let mut command = neighbour.command(&site.cgroup, "python3");
            let (host, port) = (address.ip().to_string(), address.port().to_string());
            run(command.args(["-c", script, &host, &port]), SOON)?.success()
        };
        // The way there is open: a server that is not bound to `lo` is reached.
        for (slot, port) in [(v4, 4001), (v6, 4002)] {
            let open = SocketAddr::new(slot.ip(), port);
            // No interface has an IPv6 slot's address.
            let everywhere = if slot.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { slot.ip() };
            let server = TcpServer::start(&[(everywhere, port).into()], |_| Ok(()))?;
            let (control, tried) = (reach(open)?, reach(slot)?);
            println!("from outside: {open} {control}, the slot {slot}: {tried}");
            ensure!(control == "reached" && tried != "reached", "{control}, {tried}");
            drop(server);
        }
        dispa.stop()?;
        Ok(())
    })
}

#[test]
fn who_is_not_intercepted_reaches_no_target_by_a_slot() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let dispa = site.dispa(&Site::config_of_one())?;
        for (family, host) in [(Site::V4, Site::NAME4), (Site::V6, Site::NAME6)] {
            let slot = slot_of(&dispa, &site, &family.to_string())?;
            let (url, host) = (format!("http://{slot}/"), format!("Host: {host}"));
            // Outside of the cgroup, and inside of it but past the kernel's hook.
            let told = direct("curl", &["-sS", "-H", &host, &url])?.success()?;
            ensure!(told.trim() == "original", "{slot}: {told}");
            ensure!(site.curl(&["-H", &host, &url])?.trim() == "original");
        }
        // One that stands for nothing leads nowhere.
        let slot = slot_of(&dispa, &site, &Site::V4.to_string())?;
        let nothing = format!("http://127.208.200.200:{}/", slot.port());
        ensure!(direct("curl", &["-sS", &nothing])?.code() != Some(0));
        dispa.stop()?;
        Ok(())
    })
}

/// In nobody's output.
const CANARY: &str = "canary-secret-of-32-characters-or-more";

#[test]
fn secrets_of_the_configuration_are_not_told() -> Result<()> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let config = Site::config_of_one()
            .balancing_keys(&format!(
                "sticky_sessions = true\n[targets.load_balancing.sticky_cookie]\nkey = \"{CANARY}\""
            ))
            .sections(&format!(
                "type = \"database\"\n[logging.database]\n\
                 url = \"postgresql://dispa:{CANARY}@127.0.0.1:1/dispa\"\n"
            ));
        let file = Dispa::write(lab, &config, site.cgroup.path())?.display().to_string();
        let told = |arguments: &[&str]| -> Result<String> {
            let told = direct(Dispa::binary()?, &[arguments, &["-c", &file]].concat())?;
            Ok(told.stdout() + &told.stderr())
        };
        // Its database cannot be reached: the start ends with a word about that.
        let mut all = told(&["-v"])?;
        ensure!(all.contains("127.0.0.1"), "{all}");
        for arguments in [&["check"][..], &["config", "show", "--origin"], &["doctor"], &["status"]]
        {
            all += &told(arguments)?;
        }
        ensure!(!all.contains(CANARY), "{all}");
        Ok(())
    })
}
