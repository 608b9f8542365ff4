//! An origin behind dispa, and the two ways that lead to it.

use anyhow::{Result, ensure};
use dispa_lab::{Dispa, Lab, Record};

use crate::{Server, Site, direct};

/// Runs `body` once for each door with what URLs begin with there, and with [`Server::origin`]
/// behind both. Nothing may reach the original site.
pub fn behind_both_doors(
    body: impl Fn(&Site<'_>, &Server, &str) -> Result<()> + Sync,
) -> Result<Vec<Record>> {
    Lab::run(|lab| {
        let site = Site::new(lab)?;
        let origin = Server::origin()?;
        let dispa = site.dispa(&Site::config_of(Server::ORIGIN))?;
        for way in Site::WAYS {
            body(&site, &origin, way)?;
        }
        ensure!(site.original.requests() == 0, "{:?}", site.original.seen());
        let exchanges = dispa.records("exchange");
        ensure!(!exchanges.is_empty(), "no exchange was recorded");
        Ok(exchanges)
    })
}

/// [`behind_both_doors`], where every exchange must end well.
pub fn at_both_doors(body: impl Fn(&Site<'_>, &Server, &str) -> Result<()> + Sync) -> Result<()> {
    all_good(&behind_both_doors(body)?)
}

/// Checks that there were exchanges, each with the target `origin`, and that all ended well.
pub fn only_good_exchanges(dispa: &Dispa) -> Result<()> {
    all_good(&dispa.records("exchange"))
}

fn all_good(exchanges: &[Record]) -> Result<()> {
    ensure!(!exchanges.is_empty(), "no exchange was recorded");
    for record in exchanges {
        ensure!(record.has(&[("outcome", "ok"), ("target", "origin")]), "{record:?}");
    }
    Ok(())
}

/// Checks that 20 MB arrive unchanged each way, through both doors, where the site's backend `one`
/// is at the end of them. curl gets these `flags` as well.
pub fn long_bodies_pass(site: &Site<'_>, flags: &str) -> Result<()> {
    let file = site.lab.directory().join("upload").display().to_string();
    direct("sh", &["-c", &format!("head -c 20000000 /dev/urandom > {file}")])?.success()?;
    let down = |way: &str| {
        format!("curl -sSf {flags} -o {file}.back {way}/bytes/20000000 && sha256sum < {file}.back")
    };
    let up = |way: &str| format!("curl -sSf {flags} -X POST -T {file} {way}/sha256");
    let sent = direct("sha256sum", &[&file])?.success()?;
    let kept = format!("curl -sSf http://{}/bytes/20000000 | sha256sum", Site::backend(1));
    let kept = direct("sh", &["-c", &kept])?.success()?;
    for way in Site::WAYS {
        ensure!(site.client("sh", &["-c", &down(way)])? == kept, "{flags} down {way}");
        let told = site.client("sh", &["-c", &up(way)])?;
        ensure!(sent.split(' ').next() == Some(&told), "{flags} up {way}: {told}");
    }
    Ok(())
}
