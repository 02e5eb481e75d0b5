if vim.b.did_ftplugin then
  return
end
vim.b.did_ftplugin = true

local function map(keys, desc, action)
  vim.keymap.set('n', keys, action, { buffer = true, desc = 'Molt: ' .. desc })
end

map(']]', 'next entry', function()
  require('molt.review').step(1)
end)
map('[[', 'previous entry', function()
  require('molt.review').step(-1)
end)
map('<CR>', 'go to the source', function()
  require('molt.review').jump()
end)

vim.wo[0][0].number = false
vim.wo[0][0].relativenumber = false
vim.wo[0][0].signcolumn = 'no'
vim.wo[0][0].cursorline = true
vim.wo[0][0].winfixheight = true
