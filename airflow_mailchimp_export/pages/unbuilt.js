/* Stands in for the bundle where nobody has built it; plain elements, for Airflow 3.1 shares no others. */
const { React } = globalThis;
const Unbuilt = () =>
  React.createElement(
    "div",
    { style: { padding: "1rem" }, role: "status" },
    React.createElement("h2", { style: { fontWeight: 600 } }, "The pages of the Mailchimp exports are not built"),
    React.createElement(
      "p",
      { style: { marginTop: "0.5rem" } },
      "This installation has no bundle. Where npm is installed, run “make setup”, then restart the API server; " +
        "a wheel that was built where npm is there has it. The exports themselves work without it.",
    ),
  );
globalThis.Mailchimp = Unbuilt;
