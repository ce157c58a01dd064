/** The charts, in a file of their own that is loaded when one is shown. */
import {
  BarController, BarElement, CategoryScale, Chart as ChartJS, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip,
} from "chart.js";
import { Chart } from "react-chartjs-2";

ChartJS.register(
  BarController, BarElement, CategoryScale, Legend, LinearScale, LineController, LineElement, PointElement, Tooltip,
);

export type Series = { label: string; colour: string; values: (number | null)[] };
type Props = { kind: "bar" | "line"; label: string; moments: string[]; series: Series[]; dark: boolean };

/** What a theme's colour is now: a canvas knows no variables. */
const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--chakra-colors-${name}`).trim();

export default function DrawnChart({ kind, label, moments, series, dark }: Props) {
  const ink = dark ? "#d4d4d8" : "#3f3f46";
  const lines = dark ? "#3f3f46" : "#e4e4e7";
  const scale = { stacked: kind === "bar", ticks: { color: ink }, grid: { color: lines } };
  const datasets = series.map((one) => {
    const drawn = colour(`${one.colour}-500`) || one.colour;
    return { label: one.label, data: one.values, backgroundColor: drawn, borderColor: drawn };
  });
  return (
    <Chart
      key={String(dark)}
      type={kind}
      aria-label={label}
      role="img"
      data={{ labels: moments, datasets }}
      options={{
        animation: false,
        maintainAspectRatio: false,
        scales: { x: scale, y: { ...scale, beginAtZero: true } },
        plugins: { legend: { labels: { color: ink } } },
      }}
    />
  );
}
