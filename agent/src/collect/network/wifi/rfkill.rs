//! Switches of the radios (Documentation/driver-api/rfkill.rst). A radio has one of its own; the platform's switch holds for all of them.

use crate::host::Host;

const CLASS: &str = "/sys/class/rfkill";

/// Most switches that are read.
const SWITCHES_MAX: usize = 64;

/// All switches of Wi-Fi radios.
#[derive(Debug, Default)]
pub(super) struct Switches(Vec<Switch>);

#[derive(Debug)]
struct Switch {
    /// "phy0", or what the platform calls its own.
    name: String,
    soft: Option<bool>,
    hard: Option<bool>,
}

impl Switches {
    /// Reads them.
    pub(super) fn read(host: &dyn Host) -> Self {
        let names = host.list(CLASS).unwrap_or_default();
        let switch = |name: &String| {
            let line = |attribute: &str| host.line(&format!("{CLASS}/{name}/{attribute}"));
            let flag = |attribute: &str| line(attribute).and_then(|text| text.parse::<u8>().ok()).map(|set| set != 0);
            (line("type")? == "wlan").then(|| Switch {
                name: line("name").unwrap_or_default(),
                soft: flag("soft"),
                hard: flag("hard"),
            })
        };
        Self(names.iter().take(SWITCHES_MAX).filter_map(switch).collect())
    }

    /// Whether a radio is switched off by software, and by hardware; absent where no switch tells.
    pub(super) fn of(&self, phy: &str) -> (Option<bool>, Option<bool>) {
        let other_radio = |name: &str| name.strip_prefix("phy").is_some_and(|rest| rest.parse::<u32>().is_ok());
        let own: Vec<&Switch> =
            self.0.iter().filter(|switch| switch.name == phy || !other_radio(&switch.name)).collect();
        let any =
            |flag: fn(&Switch) -> Option<bool>| own.iter().filter_map(|switch| flag(switch)).reduce(|a, b| a || b);
        (any(|switch| switch.soft), any(|switch| switch.hard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_switch_holds_for_every_radio_and_a_radios_own_for_itself() {
        let switch = |name: &str, soft, hard| Switch { name: name.into(), soft: Some(soft), hard: Some(hard) };
        let switches = Switches(vec![
            switch("phy0", true, false),
            switch("phy1", false, false),
            switch("tpacpi_wlan_sw", false, true),
        ]);
        assert_eq!(switches.of("phy0"), (Some(true), Some(true)));
        assert_eq!(switches.of("phy1"), (Some(false), Some(true)));
        assert_eq!(Switches::default().of("phy0"), (None, None));
    }
}
