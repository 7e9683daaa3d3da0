/** The report page's one script: a click on a column's title sorts the table by it, another click the other way. */
export const reportScript = `
for (const button of document.querySelectorAll('th button')) {
  button.addEventListener('click', () => {
    const header = button.parentElement
    const column = header.cellIndex
    const ascending = header.getAttribute('aria-sort') !== 'ascending'
    for (const other of header.parentElement.cells) other.removeAttribute('aria-sort')
    header.setAttribute('aria-sort', ascending ? 'ascending' : 'descending')
    const body = header.closest('table').tBodies[0]
    const key = row => Number(row.cells[column].dataset.key)
    const rows = [...body.rows].sort((a, b) => (ascending ? key(a) - key(b) : key(b) - key(a)))
    body.append(...rows)
  })
}
`
