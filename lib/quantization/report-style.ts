/** The report page's style: light and dark, wide and narrow. Series colours are Okabe and Ito's, told apart without red and green. */
export const reportStyle = `
:root {
  color-scheme: light dark;
  --paper: #fbfbfa; --card: #ffffff; --ink: #1c1d1f; --muted: #5d6167; --rule: #dfe1e4;
  --series-0: #0072b2; --series-1: #d55e00; --series-2: #008060; --series-3: #a8477f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --card: #1f2226; --ink: #e9eaec; --muted: #a3a8af; --rule: #363a40;
    --series-0: #56b4e9; --series-1: #f0a030; --series-2: #35c69b; --series-3: #e08fc0;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 84rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 0; font-size: 1.2rem; }
p { margin: .25rem 0 0; color: var(--muted); max-width: 46rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1.5rem 0 0; }
.figures div { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .6rem .9rem; }
dt { color: var(--muted); font-size: .85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.figures dd { font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.settings { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1.25rem 0 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: .75rem; margin-top: .75rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .6rem .7rem .5rem; }
figcaption { font-size: .9rem; font-weight: 600; margin-bottom: .25rem; overflow-wrap: anywhere; }
figure svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--muted); }
.grid { stroke: var(--rule); stroke-width: 1; }
polyline { fill: none; stroke-width: 1.5; }
.mark { stroke: transparent; stroke-width: 12; pointer-events: all; }
.mark:hover { stroke: currentColor; stroke-width: 3; }
.series-0 { color: var(--series-0); } .series-1 { color: var(--series-1); }
.series-2 { color: var(--series-2); } .series-3 { color: var(--series-3); }
[class^="series-"] polyline { stroke: currentColor; } [class^="series-"] .mark { fill: currentColor; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; padding: 0; list-style: none; font-size: .9rem; }
.legend svg { width: 1.5rem; height: .75rem; margin-right: .4rem; }
.layers { overflow-x: auto; margin-top: .75rem; border: 1px solid var(--rule); border-radius: .5rem; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--card); }
thead th { white-space: normal; min-width: 8rem; border-bottom: 1px solid var(--rule); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tbody th { font-weight: 400; }
th button { font: inherit; text-align: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: .25rem 0; cursor: pointer; }
th button::after { content: "↕"; color: var(--muted); margin-left: .3rem; }
th[aria-sort="ascending"] button::after { content: "↑"; color: inherit; }
th[aria-sort="descending"] button::after { content: "↓"; color: inherit; }
:focus-visible { outline: 2px solid var(--series-0); outline-offset: 2px; }
@media (max-width: 40rem) {
  main { padding: 1.25rem 1rem 3rem; }
  .figures { grid-template-columns: 1fr 1fr; }
  .charts { display: flex; overflow-x: auto; scroll-snap-type: x mandatory; margin-inline: -1rem; padding: 0 1rem .5rem; }
  figure { flex: 0 0 86%; scroll-snap-align: center; }
  tbody th { max-width: 46vw; overflow: hidden; text-overflow: ellipsis; direction: rtl; }
}
`
