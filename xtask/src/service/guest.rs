//! One run of the emulator.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use dispa_lab::Process;

use super::image::Image;

/// The run takes some 5 minutes on an idle machine.
const DEADLINE: Duration = Duration::from_mins(40);

/// Emulated throughout; the clock counts instructions, one a nanosecond, and jumps where it would
/// only wait.
const MACHINE: [&str; 11] = [
    "-machine",
    "q35",
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-icount",
    "shift=0,sleep=off",
    "-m",
    "1024",
    "-nodefaults",
];
/// The console is the emulator's output; a machine that boots again, after a panic too, ends.
const CONSOLE: [&str; 6] =
    ["-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"];
const KERNEL_ARGUMENTS: &str = "console=ttyS0 root=/dev/vda rw quiet panic=-1 \
     systemd.show_status=false systemd.mask=serial-getty@ttyS0.service \
     systemd.mask=apt-daily.timer systemd.mask=apt-daily-upgrade.timer";

/// Boots from the image, which stays as it is, with the errands as a second disk. Shows what the
/// guest says, and returns it when the guest is off.
pub(super) fn run(image: &Image, errands: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(MACHINE).args(CONSOLE);
    command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initrd);
    command.args(["-append", KERNEL_ARGUMENTS]);
    command.args(["-drive", &drive(&image.disk, "snapshot=on")]);
    command.args(["-drive", &drive(errands, "readonly=on")]);
    let emulator = Process::start(&mut command)?;
    // Lines are shown as they come; that none fits is how the wait ends.
    let show = |line: &dispa_lab::Line| {
        println!("{}", line.text);
        false
    };
    drop(emulator.wait_for_line(DEADLINE, show));
    let finished = emulator.finish(Duration::from_secs(10))?;
    Ok(finished.success()?.lines().map(|line| line.trim_end().to_owned()).collect())
}

fn drive(file: &Path, option: &str) -> String {
    format!("file={},if=virtio,format=raw,{option}", file.display())
}
