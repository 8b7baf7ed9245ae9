//! osquery's tables of the hardware.

use super::View;

pub(super) const VIEWS: &[View] = &[
    View {
        name: "system_info",
        columns: "t.hostname AS hostname, f.uuid AS uuid, t.architecture AS cpu_type, c.model AS cpu_brand, \
                  c.processors AS cpu_logical_cores, f.microcode AS cpu_microcode, m.total_bytes AS physical_memory, \
                  coalesce(nullif(f.manufacturer, ''), t.vendor) AS hardware_vendor, \
                  coalesce(nullif(f.product, ''), t.model) AS hardware_model, f.version AS hardware_version, \
                  f.serial AS hardware_serial, f.board_manufacturer AS board_vendor, f.board AS board_model, \
                  f.board_version AS board_version, f.board_serial AS board_serial, t.hostname AS computer_name, \
                  t.hostname AS local_hostname",
        unfilled: "cpu_subtype cpu_physical_cores cpu_sockets emulated_cpu_type",
        from: "{os} t LEFT JOIN {firmware} f ON {same f} LEFT JOIN {cpu} c ON {same c} LEFT JOIN {memory} m ON {same m}",
    },
    View {
        name: "platform_info",
        columns: "t.bios_vendor AS vendor, t.bios_version AS version, t.bios_date AS date, \
                  t.controller_release AS revision, t.boot_mode AS firmware_type",
        unfilled: "address size volume_size extra",
        from: "{firmware} t",
    },
    View {
        name: "secureboot",
        columns: "t.secure_boot AS secure_boot, t.setup_mode AS setup_mode",
        unfilled: "secure_mode",
        from: "{firmware} t",
    },
    View {
        name: "cpu_info",
        columns: "'0' AS device_id, t.model AS model, t.processors AS logical_processors, \
                  t.clock_hz / 1000000 AS current_clock_speed, t.clock_max_hz / 1000000 AS max_clock_speed",
        unfilled: "manufacturer processor_type cpu_status number_of_cores address_width socket_designation",
        from: "{cpu} t",
    },
    View {
        name: "memory_devices",
        columns: "t.form_factor AS form_factor, t.total_width_bits AS total_width, t.data_width_bits AS data_width, \
                  t.size_bytes / 1048576 AS size, t.slot AS device_locator, t.bank AS bank_locator, \
                  t.type AS memory_type, t.speed_mts AS max_speed, t.configured_mts AS configured_clock_speed, \
                  t.manufacturer AS manufacturer, t.serial AS serial_number, t.part AS part_number, \
                  t.voltage_microvolts / 1000 AS configured_voltage",
        unfilled: "handle array_handle set_id memory_type_details asset_tag min_voltage max_voltage",
        from: "{memory_modules} t",
    },
    View {
        name: "block_devices",
        columns: "'/dev/' || t.name AS name, '' AS parent, t.model AS model, t.serial AS serial, \
                  t.size_bytes / coalesce(nullif(t.logical_sector_bytes, 0), 512) AS size, \
                  coalesce(nullif(t.logical_sector_bytes, 0), 512) AS block_size, t.kind AS type",
        unfilled: "vendor uuid label",
        from: "{disks} t",
    },
    View {
        name: "disk_encryption",
        columns: "t.source AS name, f.root_encrypted AS encrypted, \
                  CASE f.root_encrypted WHEN 1 THEN 'encrypted' WHEN 0 THEN 'not encrypted' ELSE 'undefined' END \
                  AS encryption_status",
        unfilled: "uuid type uid user_uuid filevault_status",
        from: "(SELECT * FROM {mounts} WHERE mount_point = '/' AND mounted) t JOIN {security} f ON {same f}",
    },
    View {
        name: "usb_devices",
        columns: "t.port AS usb_port, t.vendor AS vendor, substr(t.id, 1, instr(t.id, ':') - 1) AS vendor_id, \
                  t.name AS model, substr(t.id, instr(t.id, ':') + 1) AS model_id, t.serial AS serial",
        unfilled: "usb_address version class subclass protocol removable",
        from: "(SELECT * FROM {usb_devices} WHERE present) t",
    },
    View {
        name: "pci_devices",
        columns: "t.address AS pci_slot, t.class AS pci_class, t.class_id AS pci_class_id, t.driver AS driver, \
                  t.vendor AS vendor, substr(t.id, 1, instr(t.id, ':') - 1) AS vendor_id, t.name AS model, \
                  substr(t.id, instr(t.id, ':') + 1) AS model_id, \
                  substr(t.subsystem_id, 1, instr(t.subsystem_id, ':') - 1) AS subsystem_vendor_id, \
                  substr(t.subsystem_id, instr(t.subsystem_id, ':') + 1) AS subsystem_model_id",
        unfilled: "pci_subclass_id pci_subclass subsystem_vendor subsystem_model",
        from: "{pci_devices} t",
    },
    View {
        name: "battery",
        columns: "t.manufacturer AS manufacturer, t.manufactured AS manufacture_date, t.model AS model, \
                  t.serial AS serial_number, t.cycles AS cycle_count, t.condition AS condition, \
                  t.technology AS chemistry, \
                  CASE t.status WHEN 'Discharging' THEN 'Battery Power' ELSE 'AC Power' END AS state, \
                  t.status = 'Charging' AS charging, t.status = 'Full' AS charged, \
                  CAST(t.design_microwatt_hours * 1000 / t.voltage_microvolts AS INTEGER) AS designed_capacity, \
                  CAST(t.full_microwatt_hours * 1000 / t.voltage_microvolts AS INTEGER) AS max_capacity, \
                  CAST(t.full_microwatt_hours * 10 / t.voltage_microvolts * t.charge_percent AS INTEGER) \
                  AS current_capacity, CAST(t.charge_percent AS INTEGER) AS percent_remaining, \
                  t.power_microwatts * 1000 / t.voltage_microvolts AS amperage, t.voltage_microvolts / 1000 AS voltage, \
                  t.time_to_empty_s / 60 AS minutes_until_empty, t.time_to_full_s / 60 AS minutes_to_full_charge",
        unfilled: "health",
        from: "{batteries} t",
    },
    View {
        name: "temperature_sensors",
        columns: "t.chip || ' ' || t.sensor AS \"key\", t.label AS name, t.temperature_celsius AS celsius, \
                  t.temperature_celsius * 9 / 5 + 32 AS fahrenheit",
        unfilled: "",
        from: "{temperatures} t",
    },
    View {
        name: "fan_speed_sensors",
        columns: "t.chip || ' ' || t.sensor AS fan, t.label AS name, t.rpm AS actual, t.min_rpm AS min, \
                  t.max_rpm AS max, t.target_rpm AS target",
        unfilled: "",
        from: "{fans} t",
    },
    View {
        name: "connected_displays",
        columns: "t.model AS name, t.product_code AS product_id, t.serial AS serial_number, \
                  t.manufacturer_id AS vendor_id, t.year AS manufactured_year, t.connector AS connection_type, \
                  t.native_mode AS resolution, t.enabled AS online",
        unfilled: "manufactured_week display_id pixels ambient_brightness_enabled display_type main mirror rotation",
        from: "(SELECT * FROM {monitors} WHERE status = 'connected') t",
    },
    View {
        name: "video_info",
        columns: "t.driver AS driver, t.driver_version AS driver_version, t.vendor AS manufacturer, t.model AS model",
        unfilled: "color_depth driver_date series video_mode",
        from: "{gpus} t",
    },
];
