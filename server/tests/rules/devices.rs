//! Rules about sensors, power, batteries, graphics, screens and inputs.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

/// A row with some columns written over.
fn with(mut row: Value, more: &Value) -> Value {
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

fn celsius(part: &str, chip: &str, temperature: Option<f64>, critical: Option<f64>) -> Value {
    json!({
        "part": part, "chip": chip, "device": "0", "sensor": "temp1", "label": "Composite", "temperature_celsius": temperature,
        "critical_celsius": critical,
    })
}

fn temperature(part: &str, chip: &str, temperature: f64, critical: f64) -> Value {
    row("temperatures", celsius(part, chip, Some(temperature), Some(critical)))
}

fn heat() -> Vec<Sample> {
    let silent = || row("temperatures", celsius("disk", "nvme", None, Some(85.0)));
    let unlimited = || row("temperatures", celsius("disk", "nvme", Some(99.0), None));
    vec![
        sample(
            "part-too-hot",
            temperature("disk", "nvme", 85.85, 84.85),
            "nvme Composite has 86 °C, and 85 °C is its limit",
            vec![
                temperature("disk", "nvme", 80.0, 84.85),
                temperature("cpu", "coretemp", 100.0, 100.0),
                temperature("board", "nct6798", 118.0, 100.0),
                temperature("board", "acpitz", 60.0, 10.0),
                silent(),
                unlimited(),
            ],
        ),
        sample(
            "cpu-too-hot",
            json!({"temperatures": [
                celsius("cpu", "coretemp", Some(100.0), Some(100.0)), celsius("cpu", "coretemp", Some(101.0), Some(100.0)),
            ]}),
            "as hot as it may get: 101 °C",
            vec![temperature("cpu", "coretemp", 99.0, 100.0), temperature("gpu", "amdgpu", 110.0, 100.0)],
        ),
        sample(
            "part-nearly-too-hot",
            temperature("gpu", "amdgpu", 97.0, 100.0),
            "Nearly too hot: amdgpu",
            vec![
                temperature("gpu", "amdgpu", 94.0, 100.0),
                temperature("gpu", "amdgpu", 100.0, 100.0),
                temperature("cpu", "coretemp", 97.0, 100.0),
                silent(),
            ],
        ),
        sample(
            "cpu-nearly-too-hot",
            temperature("cpu", "coretemp", 96.0, 100.0),
            "runs hot: 96 °C",
            vec![temperature("cpu", "coretemp", 94.0, 100.0), temperature("cpu", "coretemp", 100.0, 100.0)],
        ),
    ]
}

fn fan(chip: &str, part: &str, rpm: Option<u32>) -> Value {
    json!({"chip": chip, "device": "0", "sensor": "fan1", "part": part, "rpm": rpm, "label": ""})
}

fn fans() -> Vec<Sample> {
    let cooled = |fans: Vec<Value>, temperatures: Vec<Value>| json!({"fans": fans, "temperatures": temperatures});
    let cpu = |temperature: f64| celsius("cpu", "coretemp", Some(temperature), Some(100.0));
    let gpu = |temperature: f64| celsius("gpu", "amdgpu", Some(temperature), Some(100.0));
    let slow = |more: &Value| {
        let fan =
            json!({"chip": "nct6798", "sensor": "fan2", "label": "CPU Fan", "rpm": 200, "min_rpm": 600, "alarm": true});
        row("fans", with(fan, more))
    };
    vec![
        sample(
            "fan-stands-while-hot",
            cooled(vec![fan("amdgpu", "gpu", Some(0))], vec![gpu(91.0)]),
            "No fan turns at amdgpu, at 91 °C",
            vec![
                cooled(vec![fan("amdgpu", "gpu", Some(0))], vec![gpu(45.0), cpu(90.0)]),
                cooled(vec![fan("amdgpu", "gpu", Some(900))], vec![gpu(91.0)]),
                cooled(vec![fan("amdgpu", "gpu", None)], vec![gpu(91.0)]),
                // A board has sockets without fans, and one of its fans turns.
                cooled(vec![fan("nct6798", "board", Some(0)), fan("nct6798", "board", Some(1188))], vec![cpu(91.0)]),
                cooled(vec![fan("thinkpad", "board", Some(0))], vec![cpu(60.0)]),
            ],
        ),
        sample(
            "fan-stands-while-hot",
            cooled(vec![fan("thinkpad", "board", Some(0)), fan("amdgpu", "gpu", Some(900))], vec![cpu(91.0)]),
            "No fan turns at thinkpad, at 91 °C",
            vec![cooled(vec![fan("thinkpad", "board", Some(0)), fan("thinkpad", "board", None)], vec![cpu(91.0)])],
        ),
        sample(
            "fan-too-slow",
            slow(&json!({})),
            "Fan nct6798 CPU Fan turns too slowly: 200 turns",
            vec![slow(&json!({"rpm": 0})), slow(&json!({"alarm": false})), slow(&json!({"min_rpm": null}))],
        ),
    ]
}

fn rail(more: &Value) -> Value {
    let rail = json!({
        "name": "corsairpsu/0/in1", "kind": "rail", "label": "v_out +12v", "voltage_microvolts": 11_000_000,
        "voltage_min_microvolts": 11_400_000, "voltage_max_microvolts": 12_600_000, "alarms": ["min"],
    });
    row("power", with(rail, more))
}

fn charger(power_max: u64, battery: &Value, others: &[Value]) -> Value {
    let usb = json!({"name": "usb-c", "kind": "usb", "online": true, "power_max_microwatts": power_max});
    let sources = [&[usb], others].concat();
    json!({"power": sources, "batteries": [battery]})
}

fn power() -> Vec<Sample> {
    let log = |message: &str| {
        row(
            "log_events",
            json!({"at_ms": CHECKED_AT_MS, "source": "journal", "position": "1", "program": "kernel", "message": message}),
        )
    };
    let full = json!({"name": "BAT0", "status": "Charging"});
    let strong = json!({"name": "dock", "kind": "usb", "online": true, "power_max_microwatts": 65_000_000});
    let mains = json!({"name": "AC", "kind": "mains", "online": true});
    vec![
        sample(
            "supply-too-weak",
            rail(&json!({})),
            "out of its limits: corsairpsu/0/in1 v_out +12v",
            vec![
                rail(&json!({"alarms": []})),
                rail(&json!({"voltage_microvolts": 12_000_000})),
                // A pin of the board that nobody set limits for.
                rail(&json!({"name": "nct6798/0/in1", "label": "", "alarms": ["alarm"]})),
            ],
        ),
        sample(
            "under-voltage-in-log",
            log("hwmon hwmon1: Undervoltage detected!"),
            "broke down (1 times",
            vec![log("hwmon hwmon1: Voltage normalised")],
        ),
        sample(
            "usb-supply-weak",
            charger(15_000_000, &full, &[]),
            "a supply of 15.0 W only",
            vec![
                charger(65_000_000, &full, &[]),
                charger(15_000_000, &full, &[strong]),
                charger(15_000_000, &full, &[mains]),
                charger(15_000_000, &json!({"name": "BAT0", "present": false}), &[]),
                charger(0, &full, &[]),
            ],
        ),
    ]
}

fn battery(more: &Value) -> Value {
    row("batteries", with(json!({"name": "BAT0", "status": "Full", "cycles": 700}), more))
}

fn draining(more: &Value) -> Value {
    let battery = json!({
        "name": "BAT0", "status": "Discharging", "on_supply": true, "charge_percent": 40.0, "power_microwatts": 9_000_000,
        "charge_behaviour": "auto",
    });
    json!({
        "batteries": [with(battery, more)],
        "power": [{"name": "usb-c", "kind": "usb", "online": true, "power_max_microwatts": 15_000_000}],
    })
}

fn batteries() -> Vec<Sample> {
    let health = |percent: f64| battery(&json!({"health_percent": percent}));
    let stopped = |more: &Value| battery(&with(json!({"status": "Not charging", "charge_percent": 20.0}), more));
    vec![
        sample("battery-worn-out", health(40.0), "holds 40.0 %", vec![health(60.0), battery(&json!({}))]),
        sample("battery-worn", health(79.9), "holds 79.9 %", vec![health(80.0), health(40.0), battery(&json!({}))]),
        sample(
            "battery-many-cycles",
            battery(&json!({"cycles": 1000, "health_percent": 85.0})),
            "was charged 1000 times",
            vec![battery(&json!({})), battery(&json!({"cycles": 1200, "health_percent": 60.0}))],
        ),
        sample(
            "battery-broken",
            battery(&json!({"condition": "Overheat"})),
            "says of itself: Overheat",
            vec![
                battery(&json!({"condition": "Good"})),
                battery(&json!({"condition": "Unknown"})),
                battery(&json!({})),
            ],
        ),
        sample(
            "battery-says-nonsense",
            battery(&json!({"problem": "its charge is 255 %"})),
            "its charge is 255 %",
            vec![battery(&json!({}))],
        ),
        sample(
            "battery-not-charging",
            stopped(&json!({})),
            "does not charge, at 20.0 %",
            vec![
                stopped(&json!({"charge_percent": 80.0})),
                stopped(&json!({"charge_behaviour": "inhibit-charge"})),
                stopped(&json!({"charge_percent": 50.0, "charge_start_percent": 40, "charge_end_percent": 80})),
            ],
        ),
        sample(
            "battery-drains-on-supply",
            draining(&json!({})),
            "runs down although a supply is plugged in",
            vec![
                draining(&json!({"on_supply": false})),
                draining(&json!({"on_supply": null})),
                draining(&json!({"status": "Charging"})),
                draining(&json!({"charge_behaviour": "force-discharge"})),
                draining(&json!({"charge_percent": 90.0, "charge_end_percent": 80})),
                draining(&json!({"power_microwatts": 0})),
            ],
        ),
    ]
}

fn gpu(hangs: Option<u32>, last: &str) -> Value {
    row(
        "gpus",
        json!({"address": "0000:01:00.0", "model": "Navi 23", "driver": "amdgpu", "hangs": hangs, "last_hang": last}),
    )
}

fn graphics_and_screens() -> Vec<Sample> {
    const LOST: &str = "NVRM: Xid (PCI:0000:01:00): 79, pid=812, GPU has fallen off the bus.";
    const RING: &str = "amdgpu: ring gfx timeout";
    let screen = |more: &Value| {
        let screen =
            json!({"connector": "HDMI-A-1", "status": "connected", "problem": "the screen does not describe itself"});
        row("monitors", with(screen, more))
    };
    let bent = "the checksum of block 1 of 1 of the screen's description is wrong";
    vec![
        sample("gpu-lost", gpu(Some(1), LOST), "broke down: NVRM: Xid", vec![gpu(Some(1), RING), gpu(Some(0), "")]),
        sample(
            "gpu-hangs",
            gpu(Some(3), RING),
            "Navi 23 hung 3 times",
            vec![gpu(Some(2), RING), gpu(Some(3), LOST), gpu(None, ""), gpu(Some(0), "")],
        ),
        sample(
            "gpu-hung",
            gpu(Some(1), RING),
            "hung: amdgpu",
            vec![gpu(Some(3), RING), gpu(Some(1), LOST), gpu(Some(0), "")],
        ),
        sample(
            "monitor-without-description",
            screen(&json!({})),
            "HDMI-A-1 cannot be recognised",
            vec![
                screen(&json!({"status": "disconnected", "problem": ""})),
                screen(&json!({"problem": "", "manufacturer_id": "DEL"})),
                screen(&json!({"connector": "Virtual-1"})),
                screen(&json!({"problem": bent, "manufacturer_id": "DEL"})),
            ],
        ),
        sample(
            "monitor-description-damaged",
            screen(&json!({"problem": bent, "manufacturer_id": "DEL", "manufacturer": "Dell", "model": "P2720DC"})),
            "Dell P2720DC at HDMI-A-1",
            vec![screen(&json!({})), screen(&json!({"problem": "", "manufacturer_id": "DEL"}))],
        ),
    ]
}

fn inputs() -> Vec<Sample> {
    let mouse = |more: &Value| {
        row(
            "inputs",
            with(
                json!({"name": "MX Master", "phys": "", "uniq": "", "kind": "mouse", "battery_status": "Discharging"}),
                more,
            ),
        )
    };
    vec![sample(
        "input-battery-low",
        mouse(&json!({"battery_percent": 5.0})),
        "The battery of MX Master is nearly empty",
        vec![
            mouse(&json!({})),
            mouse(&json!({"battery_percent": 50.0, "battery_level": "Normal"})),
            mouse(&json!({"battery_percent": 5.0, "battery_status": "Charging"})),
            // What some receivers say before the mouse has moved.
            mouse(&json!({"battery_percent": 0.0, "battery_status": "Unknown"})),
        ],
    )]
}

pub(super) fn samples() -> Vec<Sample> {
    [heat(), fans(), power(), batteries(), graphics_and_screens(), inputs()].into_iter().flatten().collect()
}
