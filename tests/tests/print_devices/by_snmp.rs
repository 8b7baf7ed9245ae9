//! A simulated agent with the objects of the Printer MIB, asked in each version.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use deskside_agent::host::Host;
use deskside_proto::v1::{PrintAlert, PrintCounter, PrintSupply, PrintTray};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::snmp::{self, COMMUNITY, Snmp, USER};

use super::{device, diagnosed, host, seen, titles, within};

/// A laser printer that is out of paper, low on toner, with a waste box that is nearly full, and stands open.
const TROUBLED: &str = "\
1.3.6.1.2.1.1.1.0|4|Acme Laser 9, firmware 4.11
1.3.6.1.2.1.1.3.0|67|8640000
1.3.6.1.2.1.25.3.2.1.3.1|4|Acme Laser 9
1.3.6.1.2.1.25.3.2.1.5.1|2|5
1.3.6.1.2.1.25.3.5.1.1.1|2|1
1.3.6.1.2.1.25.3.5.1.2.1|4x|6880
1.3.6.1.2.1.43.5.1.1.16.1|4|Acme Laser 9
1.3.6.1.2.1.43.5.1.1.17.1|4|SN-0001
1.3.6.1.2.1.43.8.2.1.2.1.1|2|3
1.3.6.1.2.1.43.8.2.1.2.1.2|2|5
1.3.6.1.2.1.43.8.2.1.8.1.1|2|8
1.3.6.1.2.1.43.8.2.1.8.1.2|2|8
1.3.6.1.2.1.43.8.2.1.9.1.1|2|250
1.3.6.1.2.1.43.8.2.1.9.1.2|2|-2
1.3.6.1.2.1.43.8.2.1.10.1.1|2|0
1.3.6.1.2.1.43.8.2.1.10.1.2|2|-3
1.3.6.1.2.1.43.8.2.1.11.1.1|2|19
1.3.6.1.2.1.43.8.2.1.11.1.2|2|0
1.3.6.1.2.1.43.8.2.1.12.1.1|4|iso_a4_210x297mm
1.3.6.1.2.1.43.8.2.1.13.1.1|4|Tray 1
1.3.6.1.2.1.43.8.2.1.13.1.2|4|Manual feed
1.3.6.1.2.1.43.10.2.1.3.1.1|2|7
1.3.6.1.2.1.43.10.2.1.4.1.1|65|123456
1.3.6.1.2.1.43.10.2.1.5.1.1|65|78
1.3.6.1.2.1.43.11.1.1.3.1.1|2|1
1.3.6.1.2.1.43.11.1.1.4.1.1|2|3
1.3.6.1.2.1.43.11.1.1.4.1.2|2|4
1.3.6.1.2.1.43.11.1.1.4.1.3|2|3
1.3.6.1.2.1.43.11.1.1.4.1.4|2|4
1.3.6.1.2.1.43.11.1.1.5.1.1|2|3
1.3.6.1.2.1.43.11.1.1.5.1.2|2|4
1.3.6.1.2.1.43.11.1.1.5.1.3|2|15
1.3.6.1.2.1.43.11.1.1.5.1.4|2|4
1.3.6.1.2.1.43.11.1.1.6.1.1|4|Black Cartridge CF280A
1.3.6.1.2.1.43.11.1.1.6.1.2|4|Waste Toner
1.3.6.1.2.1.43.11.1.1.6.1.3|4|Fuser
1.3.6.1.2.1.43.11.1.1.6.1.4|4|Second Waste Toner
1.3.6.1.2.1.43.11.1.1.7.1.1|2|7
1.3.6.1.2.1.43.11.1.1.7.1.2|2|19
1.3.6.1.2.1.43.11.1.1.7.1.3|2|19
1.3.6.1.2.1.43.11.1.1.7.1.4|2|19
1.3.6.1.2.1.43.11.1.1.8.1.1|2|2700
1.3.6.1.2.1.43.11.1.1.8.1.2|2|100
1.3.6.1.2.1.43.11.1.1.8.1.3|2|100
1.3.6.1.2.1.43.11.1.1.8.1.4|2|-2
1.3.6.1.2.1.43.11.1.1.9.1.1|2|81
1.3.6.1.2.1.43.11.1.1.9.1.2|2|4
1.3.6.1.2.1.43.11.1.1.9.1.3|2|-3
1.3.6.1.2.1.43.11.1.1.9.1.4|2|-2
1.3.6.1.2.1.43.12.1.1.4.1.1|4|black
1.3.6.1.2.1.43.16.5.1.2.1.1|4|Tray 1 empty
1.3.6.1.2.1.43.18.1.1.2.1.1|2|3
1.3.6.1.2.1.43.18.1.1.3.1.1|2|3
1.3.6.1.2.1.43.18.1.1.4.1.1|2|8
1.3.6.1.2.1.43.18.1.1.5.1.1|2|1
1.3.6.1.2.1.43.18.1.1.6.1.1|2|-1
1.3.6.1.2.1.43.18.1.1.7.1.1|2|808
1.3.6.1.2.1.43.18.1.1.8.1.1|4|Tray 1 empty
1.3.6.1.2.1.43.18.1.1.9.1.1|67|8610000
";

/// Takes what is said to one address, hands version 1 of it to another, and brings the answers back: an old printer.
fn only_the_first_version(near: SocketAddr, far: SocketAddr) {
    let (near, back) = (UdpSocket::bind(near).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = near.recv_from(&mut packet) {
            // The version is the first number of the message: 02 01 00.
            if packet[..length].windows(3).next_back().is_none() || packet[2..5] != [2, 1, 0] {
                continue;
            }
            back.send_to(&packet[..length], far).unwrap();
            let (length, _far) = back.recv_from(&mut packet).unwrap();
            near.send_to(&packet[..length], from).unwrap();
        }
    });
}

#[test]
fn a_printer_is_read_by_snmp_and_judged() {
    snmp::install().unwrap();
    within("by_snmp::a_printer_is_read_by_snmp_and_judged", &["192.0.2.11", "192.0.2.12"], || {
        let agent: SocketAddr = "192.0.2.11:161".parse().unwrap();
        let _snmp = Snmp::start(agent, TROUBLED).unwrap();
        only_the_first_version("192.0.2.12:161".parse().unwrap(), agent);
        let _raw = TcpListener::bind("192.0.2.11:9100").unwrap();
        let cups = Cups::start().unwrap();
        cups.add_queue("office", "socket://192.0.2.11").unwrap();
        columns_by_snmp(&cups);

        let found = diagnosed(&host(&cups, None));
        let said = titles(&found);
        for (rule, words) in [
            ("printer-needs-a-hand", "(queues: office) is out of paper, stands open"),
            ("printer-supply-low", "is low on Black Cartridge CF280A: 3.0 %"),
            ("printer-waste-box-full", "Waste Toner, 96.0 % full"),
            ("printer-asks-for-service", "asks for service"),
        ] {
            assert!(said.iter().any(|(known, title)| *known == rule && title.contains(words)), "{rule}: {said:#?}");
        }
        assert_eq!(said.len(), 4, "{said:#?}");

        cups.add_queue("old", "socket://192.0.2.12").unwrap();
        assert_eq!(device(&host(&cups, None), "192.0.2.12").snmp_version, "1");
        by_version_three(&cups);
    });
}

fn columns_by_snmp(cups: &Cups) {
    let host = host(cups, None);
    let office = device(&host, "192.0.2.11");
    assert_eq!(
        (office.queues.as_slice(), office.snmp_version.as_str()),
        (["office".to_owned()].as_slice(), "2c"),
        "{office:#?}"
    );
    assert_eq!(office.detected_errors, ["noPaper", "lowToner", "doorOpen", "inputTrayMissing"]);
    assert_eq!((office.printer_status.as_str(), office.device_status.as_str()), ("other", "down"));
    assert_eq!((office.serial.as_str(), office.display.as_str()), ("SN-0001", "Tray 1 empty"));
    assert_eq!((office.port_9100.as_str(), office.port_631.as_str()), ("open", "refused"));
    assert_eq!((office.reachable, office.uptime_s), (Some(true), Some(86_400)));

    let supplies: Vec<PrintSupply> = seen(&host, "print_supplies");
    let levels: Vec<_> =
        supplies.iter().map(|row| (row.percent_left, row.percent_full, row.level_said.as_str())).collect();
    assert_eq!(levels, [(Some(3), None, ""), (None, Some(96), ""), (None, None, "some left"), (None, None, "unknown")]);
    assert_eq!((supplies[0].part_number.as_str(), supplies[0].color.as_str()), ("CF280A", "black"));
    let trays: Vec<PrintTray> = seen(&host, "print_trays");
    assert_eq!([trays[0].empty, trays[1].empty], [Some(true), Some(false)]);
    assert_eq!((trays[0].status.as_str(), trays[1].kind.as_str()), ("broken, critical alert", "sheetFeedManual"));
    let alerts: Vec<PrintAlert> = seen(&host, "print_alerts");
    assert_eq!((alerts[0].code.as_str(), alerts[0].group.as_str()), ("inputMediaSupplyEmpty", "input"));
    let since_ms = host.now_ms() - alerts[0].since_ms.unwrap();
    assert!((300_000..360_000).contains(&since_ms), "{since_ms}");
    let counters: Vec<PrintCounter> = seen(&host, "print_counters");
    assert_eq!((counters[0].life_count, counters[0].power_on_count), (Some(123_456), Some(78)));
    assert_eq!(counters[0].life_count_unit, "impressions");
}

fn by_version_three(cups: &Cups) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (name, auth, privacy) = USER;
    let credentials = |auth: &str| {
        let text = format!(
            "communities = []\n[[users]]\nname = \"{name}\"\nauth_password = \"{auth}\"\nprivacy_password = \"{privacy}\"\ncontext = \"{COMMUNITY}\"\n"
        );
        fs::write(file.path(), text).unwrap();
        host(cups, Some(file.path().to_owned()))
    };
    let encrypted = device(&credentials(auth), "192.0.2.11");
    assert_eq!((encrypted.snmp_version.as_str(), encrypted.serial.as_str()), ("3", "SN-0001"), "{encrypted:#?}");
    let refused = device(&credentials("not the one"), "192.0.2.11");
    assert_ne!(refused.snmp, "answered", "{refused:#?}");
    assert!(!refused.snmp.contains("not the one"), "{}", refused.snmp);
}
