//! The configuration file of a daemon under test.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

/// What a test says about its daemon. The rest is always the same: the explicit door on
/// `127.0.0.1:8080`, two workers, ports 80 and 443, a JSON log.
#[derive(Clone, Debug)]
pub struct Config {
    bind: SocketAddr,
    intercept: Vec<String>,
    exclude: Vec<String>,
    targets: Vec<Target>,
    balancing: String,
    kernel_events: bool,
    server: String,
    balancing_lines: String,
    intercept_lines: String,
    monitoring_lines: String,
    page: bool,
    sections: String,
}

#[derive(Clone, Debug)]
struct Target {
    name: String,
    address: SocketAddr,
    weight: u32,
    keys: String,
}

impl Config {
    /// Where the explicit door is unless [`Config::bind`] moves it.
    pub const EXPLICIT_DOOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

    /// A daemon that intercepts these domains and has no target yet.
    #[must_use]
    pub fn new(intercept: &[&str]) -> Self {
        Self {
            bind: Self::EXPLICIT_DOOR,
            intercept: owned(intercept),
            exclude: Vec::new(),
            targets: Vec::new(),
            balancing: "roundrobin".to_owned(),
            kernel_events: false,
            server: String::new(),
            balancing_lines: String::new(),
            intercept_lines: String::new(),
            // Daemons share the lab's loopback, and with it the default ports.
            monitoring_lines: "enabled = false\n".to_owned(),
            page: false,
            sections: String::new(),
        }
    }

    /// One more target, of weight 1.
    #[must_use]
    pub fn target(self, name: &str, address: SocketAddr) -> Self {
        self.weighted_target(name, address, 1)
    }

    /// One more target.
    #[must_use]
    pub fn weighted_target(mut self, name: &str, address: SocketAddr, weight: u32) -> Self {
        let (name, keys) = (name.to_owned(), String::new());
        self.targets.push(Target { name, address, weight, keys });
        self
    }

    /// Writes more keys into the last target: lines of TOML.
    #[must_use]
    pub fn target_keys(mut self, lines: &str) -> Self {
        if let Some(target) = self.targets.last_mut() {
            target.keys.push_str(lines);
            target.keys.push('\n');
        }
        self
    }

    /// Writes more keys into the section `[server]`: lines of TOML.
    #[must_use]
    pub fn server_keys(mut self, lines: &str) -> Self {
        self.server.push_str(lines);
        self.server.push('\n');
        self
    }

    /// Writes more keys into the section `[targets.load_balancing]`: lines of TOML.
    #[must_use]
    pub fn balancing_keys(mut self, lines: &str) -> Self {
        self.balancing_lines.push_str(lines);
        self.balancing_lines.push('\n');
        self
    }

    /// Writes more keys into the section `[intercept]`: lines of TOML.
    #[must_use]
    pub fn intercept_keys(mut self, lines: &str) -> Self {
        self.intercept_lines.push_str(lines);
        self.intercept_lines.push('\n');
        self
    }

    /// Has the daemon watched as these keys of the section `[monitoring]` say, by default none.
    #[must_use]
    pub fn monitoring(mut self, lines: &str) -> Self {
        self.monitoring_lines = format!("{lines}\n");
        self
    }

    /// Adds whole sections, such as `[http]` with its keys, at the end of the file.
    #[must_use]
    pub fn sections(mut self, text: &str) -> Self {
        self.sections.push_str(text);
        self.sections.push('\n');
        self
    }

    /// Leaves these domains alone.
    #[must_use]
    pub fn exclude(mut self, domains: &[&str]) -> Self {
        self.exclude = owned(domains);
        self
    }

    /// Chooses among the targets in another way than by turns.
    #[must_use]
    pub fn balancing(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.balancing);
        self
    }

    /// Moves the explicit door.
    #[must_use]
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.bind = address;
        self
    }

    /// Lets the daemon log what the kernel did with each connection (its flag `-v`).
    #[must_use]
    pub fn kernel_events(mut self) -> Self {
        self.kernel_events = true;
        self
    }

    /// Leaves the daemon its web page, which `[admin]` in [`Config::sections`] should give a file for its
    /// token: the default one is the host's.
    #[must_use]
    pub fn page(mut self) -> Self {
        self.page = true;
        self
    }

    /// Whether the daemon may have a web page.
    pub(crate) fn wants_page(&self) -> bool {
        self.page
    }

    /// Whether the daemon is started with `-v`.
    pub(crate) fn wants_kernel_events(&self) -> bool {
        self.kernel_events
    }

    /// The text of the file, for a daemon attached to `cgroup`.
    #[must_use]
    pub fn text(&self, cgroup: &Path) -> String {
        let Self { bind, intercept, exclude, balancing, server, sections, .. } = self;
        let Self { balancing_lines, intercept_lines, monitoring_lines, .. } = self;
        let cgroup = cgroup.display();
        let targets = self.targets.iter().fold(String::new(), |mut text, target| {
            let Target { name, address, weight, keys } = target;
            // Writing to a string cannot fail. Debug quotes as TOML does.
            let _ = writeln!(
                text,
                "[[targets.targets]]\nname = {name:?}\nurl = \"http://{address}\"\nweight = {weight}\n{keys}"
            );
            text
        });
        format!(
            r#"[server]
bind_address = "{bind}"
workers = 2
{server}[domains]
intercept_domains = {intercept:?}
exclude_domains = {exclude:?}
{targets}[targets.load_balancing]
type = {balancing:?}
{balancing_lines}[intercept]
enabled = true
cgroup = "{cgroup}"
ports = [80, 443]
{intercept_lines}[monitoring]
{monitoring_lines}[logging]
level = "info"
format = "json"
{sections}"#
        )
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Config;

    #[test]
    fn the_text_holds_what_was_said() -> anyhow::Result<()> {
        let config = Config::new(&["example.com", "*.test.com"])
            .exclude(&["admin.test.com"])
            .target("one", "127.0.0.1:3001".parse()?)
            .weighted_target("two", "[::1]:3002".parse()?, 3)
            .target_keys("timeout = 2")
            .server_keys("request_timeout = 7")
            .sections("[http]\nvia = \"\"")
            .balancing("weighted")
            .balancing_keys("hash_key = \"path\"")
            .intercept_keys("dns = \"resolve\"");
        let text = config.text(Path::new("/sys/fs/cgroup/x"));
        for expected in [
            "bind_address = \"127.0.0.1:8080\"\nworkers = 2\nrequest_timeout = 7\n[domains]\n",
            "intercept_domains = [\"example.com\", \"*.test.com\"]\n",
            "exclude_domains = [\"admin.test.com\"]\n",
            "name = \"one\"\nurl = \"http://127.0.0.1:3001\"\nweight = 1\n",
            "name = \"two\"\nurl = \"http://[::1]:3002\"\nweight = 3\ntimeout = 2\n",
            "format = \"json\"\n[http]\nvia = \"\"\n",
            "type = \"weighted\"\nhash_key = \"path\"\n[intercept]\n",
            "ports = [80, 443]\ndns = \"resolve\"\n[monitoring]\nenabled = false\n[logging]\n",
            "cgroup = \"/sys/fs/cgroup/x\"\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        Ok(())
    }
}
