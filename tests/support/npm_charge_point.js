// One connector with a vehicle, written for the simulator `em-ocpp-chargepoint-simulator` (npm, Apache-2.0), which speaks
// OCPP for it. Deeds come as POST {kind, values} to DEEDS_PORT. An action that is not registered here is not answered.
const id = "NPM-1";
const cp = await connect(`${process.env.BACKEND_URL}/${id}`, id);
const settings = { HeartbeatInterval: "300" };
const state = { plugged: false, token: "", transaction: null, wh: 5000, status: "Available", timer: null };
const now = () => new Date().toISOString();

async function report(status) {
  state.status = status;
  await cp.sendStatusNotification({ connectorId: 1, errorCode: "NoError", status, timestamp: now() });
}

async function begin(token) {
  const answer = await cp.startTransaction({ connectorId: 1, idTag: token, meterStart: state.wh, timestamp: now() });
  state.transaction = answer.transactionId;
  await report("Charging");
  state.timer = setInterval(() => {
    state.wh += 15;
    const sampledValue = [
      { value: String(state.wh), unit: "Wh" },
      { value: "11000", measurand: "Power.Active.Import", unit: "W" },
    ];
    cp.meterValues({ connectorId: 1, transactionId: state.transaction, meterValue: [{ timestamp: now(), sampledValue }] });
  }, 60);
}

async function end(reason) {
  clearInterval(state.timer);
  const transactionId = state.transaction;
  state.transaction = null;
  state.token = "";
  await cp.stopTransaction({ transactionId, meterStop: state.wh, timestamp: now(), reason });
  await report("Finishing");
}

const deeds = {
  async plug() {
    state.plugged = true;
    await report("Preparing");
    if (state.token) await begin(state.token);
  },
  async unplug(values) {
    if (state.transaction !== null) await end("EVDisconnected");
    if (values.side !== "vehicle") {
      state.plugged = false;
      await report("Available");
    }
  },
  async tap(values) {
    if (state.transaction !== null) return end("Local");
    const answer = await cp.sendAuthorize({ idTag: values.tap });
    if (answer.idTagInfo.status !== "Accepted") return;
    state.token = values.tap;
    if (state.plugged) await begin(values.tap);
  },
};

cp.answerRemoteStartTransaction(async (request) => {
  cp.sendResponse(request.uniqueId, { status: "Accepted" });
  state.token = request.payload.idTag;
  if (state.plugged) await begin(state.token);
});
cp.answerRemoteStopTransaction(async (request) => {
  const known = request.payload.transactionId === state.transaction;
  cp.sendResponse(request.uniqueId, { status: known ? "Accepted" : "Rejected" });
  if (known) await end("Remote");
});
cp.answerGetConfiguration((request) => {
  const asked = request.payload.key || Object.keys(settings);
  const configurationKey = asked.filter((key) => key in settings)
    .map((key) => ({ key, readonly: false, value: settings[key] }));
  cp.sendResponse(request.uniqueId, { configurationKey, unknownKey: asked.filter((key) => !(key in settings)) });
});
cp.answerChangeConfiguration((request) => {
  const { key, value } = request.payload;
  if (key in settings) settings[key] = value;
  cp.sendResponse(request.uniqueId, { status: key in settings ? "Accepted" : "NotSupported" });
});

const listener = cp.startListener(Number(process.env.DEEDS_PORT), "127.0.0.1");
listener.post("/", async (request, response) => {
  const deed = deeds[request.body.kind];
  if (deed) await deed(request.body.values);
  response.status(deed ? 200 : 404).end();
});
await cp.sendBootnotification({ chargePointVendor: "npm", chargePointModel: "em-ocpp", firmwareVersion: "0.0.4" });
await report("Available");
