"""What the page looks like: Gradio's colours, which follow the browser's light or dark; no files from elsewhere."""

CSS = """
.gradio-container { max-width: 1320px !important; margin: 0 auto; }
.gradio-container .html-container { padding: 0; }
#head h1 { font-size: 1.5rem; font-weight: 650; margin: 0.25rem 0 0; }
#head p { margin: 0.1rem 0 0.4rem; color: var(--body-text-color-subdued); }
#controls > * { flex: 1 1 260px; min-width: min(260px, 100%) !important; }
#result { position: sticky; top: 0.75rem; align-self: flex-start; }
.state { padding: 0.6rem 0.8rem; border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  background: var(--background-fill-primary); overflow-wrap: anywhere; white-space: pre-line; }
.state.failed { border-color: #dc2626; }
.state .bar { height: 6px; margin-top: 0.5rem; border-radius: 3px; overflow: hidden;
  background: var(--border-color-primary); }
.state .bar i { display: block; height: 100%; background: var(--color-accent); transition: width 0.3s; }
.state small { display: block; margin-top: 0.35rem; color: var(--body-text-color-subdued); }
.jobs { display: grid; gap: 0.4rem; }
.jobs div { display: grid; grid-template-columns: 5.2rem 1fr auto; gap: 0.6rem; align-items: baseline;
  padding: 0.45rem 0.7rem; border: 1px solid var(--border-color-primary); border-radius: var(--radius-md);
  background: var(--background-fill-primary); }
.jobs b { font-weight: 600; }
.jobs .failed b, .jobs .cancelled b, .jobs .blocked b { color: #dc2626; }
.jobs .done b { color: var(--color-accent); }
.jobs span { overflow-wrap: anywhere; min-width: 0; }
.jobs small { color: var(--body-text-color-subdued); white-space: nowrap; }
@media (max-width: 700px) {
  #result { position: static; }
  .jobs div { grid-template-columns: 4.6rem 1fr; }
  .jobs small { grid-column: 2; }
}
"""
