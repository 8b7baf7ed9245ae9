#!/bin/sh
# Runs in the virtual machine: what happens to a station that joins, fades, roams, is left alone and has a wrong password.
export PATH=/bin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp; mount -t tmpfs run /run
mount -t debugfs debug /sys/kernel/debug; mount -t cgroup2 cgroup /sys/fs/cgroup
for module in /modules/*; do case $module in *hwsim*) insmod $module radios=3;; *) insmod $module;; esac; done
ip link set lo up
mkdir -p /run/systemd/journal /run/log/journal
systemd-journald &
until [ -S /run/systemd/journal/dev-log ]; do sleep 0.1; done
ln -s /run/systemd/journal/dev-log /dev/log
unshare -n sh -c 'echo $$ > /tmp/elsewhere; exec sleep 1000' &
until [ -s /tmp/elsewhere ]; do sleep 0.1; done
elsewhere=$(cat /tmp/elsewhere)
iw phy phy0 set netns $elsewhere
iw phy phy2 set netns $elsewhere
ip link set wlan1 name wlp4s0
ip link set wlp4s0 address 7c:76:35:04:05:06
for n in 0 2; do
echo "interface=wlan$n
bssid=02:00:5e:00:00:0$n
driver=nl80211
ssid=desk-office
country_code=DE
ieee80211d=1
hw_mode=g
channel=$((n * 5 + 1))
ieee80211n=1
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase=correct horse
bss_load_update_period=50
bss_load_test=12:80:20000
rrm_neighbor_report=1
bss_transition=1" > /tmp/ap$n.conf
done
echo 'ctrl_interface=/run/wpa
network={
 ssid="desk-office"
 psk="correct horse"
 scan_freq=2412 2462
}' > /tmp/station.conf
look() { echo "\"$1\":"; deskside-agent collect wifi wifi_link wifi_scan wifi_events --json; }
state() { until wpa_cli -p /run/wpa status | grep -q "$1"; do sleep 0.2; done; }
exec > /dev/ttyS1
echo '{'
switch=$(ls -d /sys/class/rfkill/*)
for one in $switch; do echo 1 > $one/soft; done
look blocked
echo ,
for one in $switch; do echo 0 > $one/soft; done
iw reg set DE
nsenter -t $elsewhere -n hostapd -B /tmp/ap0.conf > /tmp/hostapd
wpa_supplicant -B -s -i wlp4s0 -c /tmp/station.conf > /tmp/supplicant
state COMPLETED
look joined
echo ,
nsenter -t $elsewhere -n hostapd -B /tmp/ap2.conf > /tmp/hostapd
# The simulated radio takes what is below nought as an unsigned number: -100, with 20 dBm of power.
echo 18446744073709551516 > /sys/kernel/debug/ieee80211/phy0/hwsim/rx_rssi
until iw dev wlp4s0 station dump | grep -q "signal avg:.-[78]"; do sleep 0.2; done
until iw dev wlp4s0 scan dump | grep -q 5e:00:00:02; do wpa_cli -p /run/wpa scan > /tmp/scan; sleep 1; done
look weak
echo ,
wpa_cli -p /run/wpa roam 02:00:5e:00:00:02 > /tmp/roam
state bssid=.*00:02
state COMPLETED
look roamed
echo ,
# In a group of its own the station hears nobody, as if it were carried away.
echo 2 > /sys/kernel/debug/ieee80211/phy1/hwsim/group
until journalctl --no-pager --quiet --grep CTRL-EVENT-DISCONNECTED > /tmp/journal; do sleep 0.5; done
look gone
echo ,
echo 1 > /sys/kernel/debug/ieee80211/phy1/hwsim/group
wpa_cli -p /run/wpa set_network 0 psk '"wrong horse"' > /tmp/set
wpa_cli -p /run/wpa reassociate > /tmp/set
until journalctl --no-pager --quiet --grep WRONG_KEY > /tmp/journal; do sleep 0.5; done
wpa_cli -p /run/wpa disconnect > /tmp/set
look wrong
echo '}'
poweroff -f
