// Many stations on the package ocpp-rpc, with the behaviour of peer_stations.py, in strict mode (each message is
// validated). Run it in a folder that has the package:  node rpc_stations.mjs URL STATIONS INTERVAL_S
import { createRequire } from 'node:module'

const { RPCClient } = createRequire(`${process.cwd()}/`)('ocpp-rpc')
const [url, stations, interval] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const now = '2026-11-29T10:00:00.000Z'
const idTag = '04A2B3C4D5E680'

function sampleOf (value, measurand, unit, phase) {
  const sample = { value, context: 'Sample.Periodic', format: 'Raw', measurand, unit, location: 'Outlet' }
  return phase ? { ...sample, phase } : sample
}

const sampledValue = [
  sampleOf('1234567', 'Energy.Active.Import.Register', 'Wh'),
  sampleOf('11040', 'Power.Active.Import', 'W'),
  ...['L1', 'L2', 'L3'].map(phase => sampleOf('15.9', 'Current.Import', 'A', phase)),
  ...['L1-N', 'L2-N', 'L3-N'].map(phase => sampleOf('230.4', 'Voltage', 'V', phase)),
  sampleOf('16.0', 'Current.Offered', 'A')
]

async function runStation (number) {
  const client = new RPCClient({
    endpoint: url, identity: `RPC-${number}`, protocols: ['ocpp1.6'], strictMode: true, pingIntervalMs: 86400000
  })
  await client.connect()
  await client.call('BootNotification', { chargePointVendor: 'Chargy', chargePointModel: 'Bench' })
  for (const connectorId of [0, 1]) {
    await client.call('StatusNotification', { connectorId, errorCode: 'NoError', status: 'Available', timestamp: now })
  }
  if (!interval) return
  await client.call('Authorize', { idTag })
  const begun = await client.call('StartTransaction', { connectorId: 1, idTag, meterStart: 1, timestamp: now })
  const values = { connectorId: 1, transactionId: begun.transactionId, meterValue: [{ timestamp: now, sampledValue }] }
  const send = () => client.call('MeterValues', values).catch(error => console.error(error))
  setTimeout(() => { send(); setInterval(send, interval * 1000) }, Math.random() * interval * 1000)
}

for (let number = 0; number < stations; number++) runStation(number).catch(error => console.error(error))
setInterval(() => {}, 86400000)
