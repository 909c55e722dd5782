"""The style sheet of the page: system fonts, two themes, tables that scroll inside themselves."""

STYLE = """
:root {
  --page: #fcfcfb; --card: #fff; --ink: #1b1f24; --muted: #66707a; --grid: #e4e7ea;
  --good: #0a8754; --bad: #c2372e; --link: #2364aa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1b1f23; --ink: #e8eaec; --muted: #98a2ac; --grid: #31373d;
    --good: #4cc38a; --bad: #f2776b; --link: #7db8f0;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 74rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
h1 { font-size: 2rem; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; letter-spacing: -.01em; margin: 3rem 0 .75rem; }
h3 { font-size: .95rem; margin: 0 0 .25rem; }
header p { max-width: 46rem; margin: 0 0 1.25rem; }
.tiles { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tile, figure, .scroll, dl, ul {
  background: var(--card); border: 1px solid var(--grid); border-radius: .6rem;
}
.tile { padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.45rem; font-weight: 650; letter-spacing: -.01em; }
.tile span { color: var(--muted); font-size: .82rem; line-height: 1.3; display: block; }
.tile.good b, td.good { color: var(--good); }
.tile.bad b, td.bad { color: var(--bad); }
figure { margin: 0; padding: 1rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 40rem; margin: 0 auto; }
figcaption, .note { color: var(--muted); font-size: .85rem; line-height: 1.45; }
figcaption { margin: .5rem auto 0; max-width: 40rem; }
.grid {
  display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr));
}
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td {
  padding: .5rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--grid);
}
thead th {
  color: var(--muted); font-weight: 500; font-size: .8rem; line-height: 1.3;
  vertical-align: bottom; white-space: normal;
}
tbody tr:last-child > * { border-bottom: 0; }
tbody tr:hover > * { background: color-mix(in srgb, var(--link) 8%, var(--card)); }
tbody th { font-weight: 500; position: sticky; left: 0; background: var(--card); text-align: left; }
th.left, td.left { text-align: left; }
tbody th.strong { font-weight: 700; }
td.muted { color: var(--muted); }
dl { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; margin: 0; font-size: .9rem; }
dt, dd { margin: 0; padding: .5rem .9rem; border-top: 1px solid var(--grid); }
dt { font-weight: 600; }
dt:first-of-type, dd:first-of-type { border-top: 0; }
dd { overflow-wrap: anywhere; }
code { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
ul { margin: 0; padding: .7rem 1rem .7rem 2rem; font-size: .9rem; }
ul.bad li::marker { color: var(--bad); }
summary { cursor: pointer; color: var(--link); padding: .25rem 0 .6rem; }
@media (max-width: 40rem) {
  main { padding: 1.5rem .8rem 3rem; }
  h1 { font-size: 1.6rem; }
  figure { padding: .6rem; }
  th, td { padding: .45rem .55rem; }
  dl { grid-template-columns: 1fr; }
  dd { border-top: 0; padding-top: 0; }
}
@media print { main { max-width: none; } .scroll { overflow: visible; } }
"""
