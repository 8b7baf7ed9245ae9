//! A virtual IPP printer: what it says of itself, and that it is found again at another address.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use deskside_agent::host::Host;
use deskside_proto::v1::{PrintCounter, PrintSupply};
use deskside_tests::lab::cups::Cups;
use deskside_tests::lab::ipp_printer::IppPrinter;
use deskside_tests::lab::process::until;

use super::{device, diagnosed, host, seen, titles, within};

const PORT: u16 = 8631;

/// A printer that is low on black, with a waste box that is nearly full.
const SAID: &str = r##"ATTR textWithoutLanguage printer-make-and-model "Acme Laser 9"
ATTR textWithoutLanguage printer-info "Hall"
ATTR nameWithoutLanguage marker-names "Black Toner","Cyan Toner","Waste Box"
ATTR keyword marker-types toner,toner,waste-toner
ATTR nameWithoutLanguage marker-colors "#000000","#00FFFF",none
ATTR integer marker-levels 3,55,96
ATTR integer marker-low-levels 10,10,0
ATTR integer marker-high-levels 100,100,95
ATTR integer printer-impressions-completed 12345
ATTR mimeMediaType document-format-supported application/pdf,image/pwg-raster,image/jpeg,application/octet-stream
ATTR mimeMediaType document-format-default application/octet-stream
"##;

/// Brings all that is said to an address to the printer: it listens at the loopback address alone.
fn bring(address: &str) {
    let listener = TcpListener::bind((address, PORT)).unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap());
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || {
                    // Either side may end first.
                    drop(std::io::copy(&mut from, &mut to));
                    drop(to.shutdown(std::net::Shutdown::Write));
                });
            }
        }
    });
}

#[test]
fn an_ipp_printer_tells_of_itself_and_is_found_at_another_address() {
    let name = "by_ipp::an_ipp_printer_tells_of_itself_and_is_found_at_another_address";
    within(name, &["192.0.2.21", "192.0.2.22"], || {
        let _printer = IppPrinter::start("Hall", PORT, SAID).unwrap();
        bring("192.0.2.21");
        let cups = Cups::start().unwrap();
        cups.add_queue("hall", &format!("ipp://192.0.2.21:{PORT}/ipp/print")).unwrap();
        let host = host(&cups, None);
        let hall = device(&host, "192.0.2.21");
        assert_eq!((hall.ipp.as_str(), hall.state.as_str()), ("answered", "idle"), "{hall:#?}");
        assert_eq!((hall.model.as_str(), hall.queue_port_state.as_str()), ("Acme Laser 9", "open"));
        assert_eq!((hall.snmp.as_str(), hall.address_changed), ("refused", None));
        assert!(hall.uuid.len() == 36 && hall.uptime_s.is_some(), "{hall:#?}");
        let supplies: Vec<PrintSupply> = seen(&host, "print_supplies");
        let levels: Vec<_> = supplies.iter().map(|row| (row.percent_left, row.percent_full, row.low)).collect();
        assert!(levels.contains(&(Some(3), None, Some(true))), "{supplies:#?}");
        let counters: Vec<PrintCounter> = seen(&host, "print_counters");
        assert_eq!(counters.len(), 1, "{counters:#?}");

        let gone = Command::new("ip").args(["addr", "del", "192.0.2.21/32", "dev", "lo"]).status().unwrap();
        assert!(gone.success());
        // Avahi announces itself anew after an address has gone, and is silent meanwhile.
        let moved = until("the printer to announce its other address", || {
            host.forget();
            Ok(Some(device(&host, "192.0.2.21")).filter(|device| device.address_changed == Some(true)))
        });
        let moved = moved.unwrap();
        assert!(moved.announced_addresses.contains(&"192.0.2.22".to_owned()), "{moved:#?}");
        let found = diagnosed(&host);
        let said = titles(&found);
        assert!(said.iter().any(|(rule, title)| *rule == "printer-moved" && title.contains("192.0.2.22")), "{said:#?}");
        assert!(!said.iter().any(|(rule, _title)| rule.starts_with("printer-silent")), "{said:#?}");
    });
}
